import Formats
private import Foundation
import ModelSources
import Support
import Tensors

/// The weight files in the folder of one component, grouped by variant.
struct DiffusersWeights {
  /// One set of weights in the folder.
  struct Choice: Equatable {
    /// The variant, such as `fp16`; `nil` for plain weights.
    let variant: String?
    /// The name of the weight file, or of the shard index.
    let file: String
    let isIndex: Bool
    /// Whether the weights are pickled. Decant reads pickles without running their code.
    let isPickle: Bool

    /// The order in which diffusers prefers sets of one variant: safetensors before pickles, then
    /// single files before shards.
    var rank: Int { (isPickle ? 2 : 0) + (isIndex ? 1 : 0) }
  }

  /// The component's folder.
  let folder: String
  let kind: DiffusersLayout.ComponentKind
  /// The file names in the folder, sorted.
  let files: [String]
  let choices: [Choice]

  /// The variants in the folder, without the plain weights.
  var variants: [String] { choices.compactMap(\.variant) }

  init(folder: String, kind: DiffusersLayout.ComponentKind, files: [String]) {
    self.folder = folder
    self.kind = kind
    self.files = files
    var choices: [Choice] = []
    for file in files {
      guard
        let choice = Self.choice(file, stem: kind.stem)
          ?? Self.choice(file, stem: kind.pickleStem, isPickle: true)
      else { continue }
      if let index = choices.firstIndex(where: { $0.variant == choice.variant }) {
        if choice.rank < choices[index].rank { choices[index] = choice }
      } else {
        choices.append(choice)
      }
    }
    self.choices = choices
  }

  /// Parses a file name, in every form that occurs on the Hugging Face Hub:
  ///
  ///     stem.safetensors                     stem.fp16.safetensors
  ///     stem.safetensors.index.json          stem.safetensors.index.fp16.json
  ///                                          stem.safetensors.fp16.index.json
  ///                                          stem.fp16.safetensors.index.json
  ///
  /// and the same with `bin` for `safetensors` where the weights are pickled.
  ///
  /// Returns `nil` for shards, which their index lists, and for all other files.
  static func choice(_ file: String, stem: String, isPickle: Bool = false) -> Choice? {
    guard file.hasPrefix(stem + ".") else { return nil }
    var parts = file.dropFirst(stem.count + 1).split(
      separator: ".", omittingEmptySubsequences: false)
    guard let weights = parts.firstIndex(of: isPickle ? "bin" : "safetensors") else { return nil }
    parts.remove(at: weights)
    var isIndex = false
    if parts.last == "json", let index = parts.firstIndex(of: "index") {
      parts.removeLast()
      parts.remove(at: index)
      isIndex = true
    }
    guard parts.count <= 1, isIndex || weights == parts.count, parts.first.map(isVariant) ?? true
    else { return nil }
    return Choice(
      variant: parts.first.map(String.init), file: file, isIndex: isIndex, isPickle: isPickle)
  }

  /// Whether a text can be a variant, as `fp16` and `non_ema`: letters, digits, `_` and `-`, and no
  /// shard number.
  static func isVariant(_ text: Substring) -> Bool {
    !text.isEmpty && !isShardNumber(text)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  /// Whether a stem or a variant ends with a shard number: `…-00001-of-00005`.
  private static func isShardNumber(_ text: Substring) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    return parts.count >= 3 && parts[parts.count - 2] == "of"
      && Int(parts[parts.count - 1]) != nil && Int(parts[parts.count - 3]) != nil
  }

  /// Chooses the set to read: the requested variant, else plain weights, else the only set. Like
  /// diffusers, reads plain weights where a component lacks the requested variant.
  func choose(_ variant: String?) throws -> Choice {
    if let variant, let choice = choices.first(where: { $0.variant == variant }) { return choice }
    if let plain = choices.first(where: { $0.variant == nil }) { return plain }
    if let variant, !choices.isEmpty {
      throw VariantError(
        path: folder, component: kind.name, variant: variant, known: variants)
    }
    if choices.count > 1 {
      throw DiffusersError.ambiguousVariant(
        folder: folder, component: kind.name, found: variants)
    }
    if let only = choices.first { return only }
    try refuseAbsent()
  }

  /// Throws an error that states what the folder holds instead of weights.
  private func refuseAbsent() throws(DiffusersError) -> Never {
    for file in files {
      guard let whole = LayoutError.wholeName(ofUnfinished: file),
        [kind.stem, kind.pickleStem].contains(where: { whole.hasPrefix($0 + ".") })
      else { continue }
      throw .absent(.unfinished(path: "\(folder)/\(whole)", leftover: file))
    }
    let lookedFor = kind.stem + ".safetensors"
    for (stem, `extension`) in [(kind.stem, "safetensors"), (kind.pickleStem, "bin")] {
      let shard = files.first {
        $0.hasPrefix(stem) && $0.hasSuffix("." + `extension`)
          && $0.split(separator: ".").contains(where: Self.isShardNumber)
      }
      if let shard {
        throw .missingShardIndex(
          folder: folder, shard: shard, lookedFor: "\(stem).\(`extension`).index.json")
      }
    }
    throw .missingFile(
      folder: folder, component: kind.name,
      lookedFor: [lookedFor, lookedFor + ".index.json", kind.pickleStem + ".bin"], found: files)
  }

  /// The weights of a component under the names of current versions.
  struct Opened {
    let weights: any WeightSource
    /// The names of the weight files that were read.
    let files: [String]
    /// What the files' formats do not read, and what was changed in the names.
    let changes: [ModelChange]
  }

  /// Opens the weights of `choice`.
  func open(_ choice: Choice) throws -> Opened {
    let path = "\(folder)/\(choice.file)"
    var base: any WeightSource
    let files: [(name: String, archive: Archive)]
    if choice.isIndex {
      let shards = try ShardedSource(index: path)
      base = shards
      files = shards.files
    } else {
      let archive = try Self.open(path)
      base = archive.weights
      files = [(choice.file, archive)]
    }
    // The names that a header describes are those of the files.
    for file in files {
      base = try DescribedSource(base, metadata: file.archive.metadata, path: path) ?? base
    }
    let wrappers = NameWrappers(base.names, around: kind.group)
    do {
      return Opened(
        weights: try RenamedSource(base, rules: kind.rules, wrappers: wrappers),
        files: files.map(\.name),
        changes: files.flatMap(\.archive.changes).map { $0.of(kind.name) }
          + wrappers.changes(of: kind.name))
    } catch {
      throw DiffusersError.collision(
        path: path, tensor: error.name, first: error.first, second: error.second)
    }
  }
}

extension DiffusersWeights {
  /// The weights in the folder that are not read: other variants, and pickles and shards beside other
  /// files of the same weights. Another variant may be other weights, such as those without a moving
  /// average, unless its name is that of a number type.
  ///
  /// - Parameters:
  ///   - read: the names of the weight files that are read.
  ///   - variant: the variant that was requested; `nil` for plain weights.
  func changesOfUnread(_ read: [String], for variant: String?) -> [ModelChange] {
    let unread = files.filter { isTensorFileName($0) && !read.contains($0) }
    func isOther(_ file: String) -> Bool {
      guard variant == nil, let own = self.variant(of: file) else { return false }
      return !DiffusersKeys.numberTypeVariants.contains(own)
    }
    return [true, false].compactMap { isOtherVariant in
      let names = unread.filter { isOther($0) == isOtherVariant }
      guard !names.isEmpty else { return nil }
      return ModelChange(
        .leftOut, component: kind.name, "other weights in its folder",
        names: names.map { "\(kind.name)/\($0)" }, isRequested: !isOtherVariant,
        remedy: isOtherVariant
          ? .choose(.variant, Set(names.compactMap(self.variant)).sorted(), purpose: "to read them")
          : nil)
    }
  }

  /// The variant of a weight file or a shard; `nil` for plain weights and other files.
  private func variant(of file: String) -> String? {
    let whole = file.split(separator: ".", omittingEmptySubsequences: false).map { part in
      let words = part.split(separator: "-", omittingEmptySubsequences: false)
      return Self.isShardNumber(part) ? words.dropLast(3).joined(separator: "-") : String(part)
    }.joined(separator: ".")
    let choice =
      Self.choice(whole, stem: kind.stem)
      ?? Self.choice(whole, stem: kind.pickleStem, isPickle: true)
    return choice?.variant
  }

  /// What is said of the choice: another set of weights than the one that was requested.
  ///
  /// - Parameter variant: the variant that was requested; `nil` for plain weights.
  func changes(reading choice: Choice, for variant: String?) -> [ModelChange] {
    if choice.variant == variant { return [] }
    let summary =
      switch (variant, choice.variant) {
      case (let wanted?, _): "no variant '\(shown(wanted))'; the plain weights were read"
      case (nil, let found): "no plain weights; the variant '\(found ?? "")' was read"
      }
    let file = "\(kind.name)/\(choice.file)"
    return [ModelChange(.assumed, component: kind.name, summary, names: [file])]
  }

  /// Opens one weight file. Its contents decide the format; where they are of no format, its
  /// extension does, as in diffusers. Quantized forms stay as they are stored, because the tensors of
  /// one weight may be in several shards.
  ///
  /// - Throws: the errors of ``Archives/stored(_:expecting:)``.
  static func open(_ path: String) throws -> Archive {
    try Archives.stored(
      path, expecting: path.hasSuffix(".bin") ? TorchArchive() : SafetensorsArchive())
  }
}

/// The weights of a sharded component. An index maps each tensor to its file:
/// `{"metadata": {"total_size": …}, "weight_map": {tensor: file}}`.
struct ShardedSource: WeightSource {
  let location: String
  let names: [String]
  /// The shards, sorted by file name.
  let files: [(name: String, archive: Archive)]
  private let shards: [String: any WeightSource]
  private let owners: [String: String]

  /// - Throws: ``DiffusersError`` where index and shards disagree, and the errors of the shards'
  ///   readers.
  init(index path: String) throws {
    location = path
    let map = try Self.weightMap(path)
    let folder = PathParts(path).folder
    var files: [(name: String, archive: Archive)] = []
    var shards: [String: any WeightSource] = [:]
    var owners: [String: String] = [:]
    var names: [String] = []
    for file in Set(map.values).sorted() {
      let place = folder + "/" + file
      guard FileManager.default.fileExists(atPath: place) else {
        throw DiffusersError.missingShard(index: path, shard: file)
      }
      let archive = try DiffusersWeights.open(place)
      files.append((file, archive))
      let shard = archive.weights
      for name in shard.names {
        if let other = owners.updateValue(file, forKey: name) {
          throw DiffusersError.repeatedTensor(index: path, tensor: name, shards: [other, file])
        }
        names.append(name)
      }
      shards[file] = shard
    }
    for (name, file) in map.sorted(by: { $0.key < $1.key }) where owners[name] != file {
      throw DiffusersError.absentFromShard(index: path, tensor: name, shard: file)
    }
    for name in names where map[name] == nil {
      throw DiffusersError.absentFromIndex(index: path, tensor: name, shard: owners[name] ?? "")
    }
    self.files = files
    self.shards = shards
    self.owners = owners
    self.names = names
  }

  private static func weightMap(_ path: String) throws(DiffusersError) -> [String: String] {
    guard let map = try readObject(path)["weight_map"]?.object else {
      throw .malformedShardIndex(path: path, found: "no object 'weight_map'")
    }
    var result: [String: String] = [:]
    for (name, value) in map.members {
      guard let file = value.string, !file.isEmpty, !file.contains("/"), file != "..", file != "."
      else {
        let found = value.string.map { "'\(shown($0))'" } ?? value.kind
        throw .malformedShardIndex(
          path: path, found: "tensor '\(shown(name))' maps to \(found), expected a file name")
      }
      result[name] = file
    }
    guard !result.isEmpty else {
      throw .malformedShardIndex(path: path, found: "'weight_map' is empty")
    }
    return result
  }

  func entry(_ name: String) -> TensorEntry? {
    owners[name].flatMap { shards[$0]?.entry(name) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let owner = owners[name], let shard = shards[owner] else {
      throw absent(name)
    }
    return try shard.tensor(name)
  }
}

/// Reads a file that holds a JSON object.
func readObject(
  _ path: String, acceptingInfinity: Bool = false
) throws(DiffusersError) -> JSONObject {
  let bytes: ByteSlice
  if let fault = LayoutError.downloadFault(of: path) { throw .absent(fault) }
  do { bytes = try ByteSlice.mapping(path) } catch { throw .unreadable(error) }
  let value: JSONValue
  do {
    value = try JSONValue(
      parsing: bytes.withoutByteOrderMark.bytes, acceptingInfinity: acceptingInfinity)
  } catch {
    if isUTF16(bytes) { throw .wideText(path: path) }
    if let found = kindInPlaceOfText(bytes) { throw .otherFile(path: path, found: found) }
    throw .notJSON(path: path, error)
  }
  guard let object = value.object else { throw .notObject(path: path, found: value.kind) }
  return object
}
