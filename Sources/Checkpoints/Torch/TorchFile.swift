internal import ModelSources
package import Support
package import Tensors

/// The tensors of a mapped PyTorch checkpoint. No code of the file is run, see ``PickleMachine``.
package struct TorchFile: WeightSource {
  package let path: String
  /// The tensors' names, in the order of the file.
  package let names: [String]
  /// Dictionaries of tensors beside the model's, such as a moving average, which are not read, with
  /// their numbers of tensors.
  let otherTensors: [(name: String, count: Int)]
  /// The member of ``metadata`` that describes what is neither a tensor nor plain.
  static let leftOut = "left_out"

  /// The plain members of the checkpoint. ``leftOut`` describes the other members.
  package let metadata: JSONObject
  private let contents: ByteSlice
  private let places: [String: Place]

  /// The location of a tensor's numbers.
  private struct Place {
    let entry: TensorEntry
    /// The bytes from the first number to the last.
    let bytes: Range<Int>
    /// The strides in elements; `nil` for contiguous row-major numbers.
    let strides: [Int]?
  }

  /// Opens the file. Checks everything except the numbers.
  package init(path: String) throws(TorchError) {
    let contents: ByteSlice
    do { contents = try ByteSlice.mapping(path) } catch { throw .unreadable(error) }
    try self.init(contents, path: path)
  }

  /// Opens a file from its contents. `path` is its name in messages.
  package init(_ contents: ByteSlice, path: String) throws(TorchError) {
    let records = try TorchRecords(contents, path: path)
    let found = try TorchContents(records, path: path)
    var places: [String: Place] = [:]
    var total = 0
    // Several views may share a storage. Files whose tensors take many times their size are
    // refused.
    let limit = 4 * contents.count + Self.expansionLimit
    for (name, tensor) in found.tensors {
      let storage = records.machine.storages[tensor.storage]
      let place: Place
      do {
        place = try Self.place(tensor, of: storage, in: records.places[storage.key] ?? 0..<0)
      } catch {
        throw .tensor(path: path, tensor: name, reason: error.reason)
      }
      places[name] = place
      total += place.entry.byteCount
      guard total <= limit else {
        throw .tooMuch(path: path, tensor: name, bytes: total, limit: limit)
      }
    }
    self.path = path
    self.contents = contents
    self.places = places
    names = found.tensors.map(\.name)
    otherTensors = found.otherTensors
    var metadata = found.metadata
    if !found.leftOut.isEmpty { metadata[Self.leftOut] = .object(found.leftOut) }
    self.metadata = metadata
  }

  /// The largest size in bytes of a tensor that is larger than its storage, as `expand` makes it.
  static let expansionLimit = 256 << 20

  private struct Fault: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  private static func place(
    _ tensor: TorchTensor, of storage: TorchStorage, in bytes: Range<Int>
  ) throws(Fault) -> Place {
    let kind = tensor.kind ?? storage.kind ?? .u8
    let width = kind.bitWidth / 8
    let available = bytes.count / width
    guard tensor.extents.count <= SafetensorsHeader.rankLimit,
      tensor.extents.count == tensor.strides.count
    else {
      throw Fault(
        "\(tensor.extents.count) extents and \(tensor.strides.count) strides; as many of both "
          + "are expected, and at most \(SafetensorsHeader.rankLimit)")
    }
    guard let shape = Shape(checking: tensor.extents), let size = kind.byteCount(of: shape.count)
    else {
      throw Fault("the extents \(Self.list(tensor.extents)) are negative or overflow")
    }
    let entry = TensorEntry(shape: shape, encoding: .plain(kind))
    // The first element of the view, and the element after its last.
    let (first, overflow) = (tensor.kind == nil ? storage.offset : 0)
      .addingReportingOverflow(tensor.offset)
    guard tensor.offset >= 0, tensor.strides.allSatisfy({ $0 >= 0 }) else {
      throw Fault(
        "offset \(tensor.offset) and strides \(Self.list(tensor.strides)), none may be negative")
    }
    if overflow { throw Fault("the offset overflows") }
    if shape.count == 0 { return Place(entry: entry, bytes: 0..<0, strides: nil) }
    var last = first
    for (extent, stride) in zip(shape.extents, tensor.strides) {
      let (step, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (sum, carry) = last.addingReportingOverflow(step)
      guard !overflow, !carry else { throw Fault("the strides overflow") }
      last = sum
    }
    guard last < available else {
      throw Fault(
        "\(shape) from element \(first) with strides "
          + "\(Self.list(tensor.strides)) reaches to element \(last), "
          + "its storage '\(shown(storage.key))' has \(available)")
    }
    guard size <= max(bytes.count, expansionLimit) else {
      throw Fault(
        "\(shape) takes \(size) bytes, its storage only \(bytes.count); a view that repeats numbers "
          + "may take \(expansionLimit)")
    }
    let range = bytes.lowerBound + first * width..<bytes.lowerBound + (last + 1) * width
    return Place(
      entry: entry, bytes: range,
      strides: isInOrder(shape, tensor.strides) ? nil : tensor.strides)
  }

  /// `[3, 1]`
  private static func list(_ numbers: [Int]) -> String {
    "[\(numbers.map(String.init).joined(separator: ", "))]"
  }

  /// Whether the strides are those of contiguous row-major numbers. Axes with one element are
  /// ignored.
  private static func isInOrder(_ shape: Shape, _ strides: [Int]) -> Bool {
    var expected = 1
    for (extent, stride) in zip(shape.extents, strides).reversed() where extent != 1 {
      if stride != expected { return false }
      expected *= extent
    }
    return true
  }

  package var location: String { path }

  package func entry(_ name: String) -> TensorEntry? { places[name]?.entry }

  /// The tensor in row-major order, in place where the file has that order.
  package func tensor(_ name: String) throws -> StoredTensor {
    guard let place = places[name], case .plain(let kind) = place.entry.encoding else {
      throw absent(name)
    }
    try contents.checkUnchanged()
    var bytes = contents.window(place.bytes)
    if let strides = place.strides {
      bytes = bytes.gathered(
        shape: place.entry.shape, strides: strides, width: kind.bitWidth / 8)
    }
    return StoredTensor(shape: place.entry.shape, encoding: place.entry.encoding, parts: [bytes])
  }
}

/// Reads files of `torch.save`: `.ckpt`, `.pt`, `.pth`, `.bin`.
struct TorchArchive: ArchiveFormat {
  var kind: String { "PyTorch file" }

  /// A ZIP archive, or a pickle of protocol 2 or newer.
  func recognizes(_ contents: ByteSlice) -> Bool {
    if TorchRecords.isArchive(contents) { return true }
    guard contents.count >= 2 else { return false }
    let head = contents[0..<2].array
    return head[0] == PickleOpcode.proto.rawValue && (2...5).contains(head[1])
  }

  /// The checksum of the pickle is compared, those of the storages are not.
  func checksums(of contents: ByteSlice) -> Checksums {
    TorchRecords.isArchive(contents) ? .ignored : .absent
  }

  func open(_ path: String) throws -> Archive {
    let file = try TorchFile(path: path)
    var changes = file.otherTensors.map { name, count in
      ModelChange(
        .leftOut,
        "\(counted(count, "tensor")) below '\(shown(name))', beside the "
          + "'\(TorchContents.stateDictionary)' of the model")
    }
    let others = Set(file.otherTensors.map(\.name))
    let names = (file.metadata[TorchFile.leftOut]?.object?.keys ?? []).filter {
      !others.contains($0)
    }
    if !names.isEmpty {
      // The state of training code, which no model needs.
      changes.append(
        ModelChange(
          .leftOut, "members of the pickle that are no tensors, numbers or texts", names: names,
          isRequested: true))
    }
    return Archive(weights: file, metadata: file.metadata, kind: kind, changes: changes)
  }
}
