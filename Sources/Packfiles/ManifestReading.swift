package import Support
internal import Tensors

extension Manifest {
  /// Parses a manifest and verifies that its regions fill the file up to `regionsEnd`.
  ///
  /// A manifest that this initializer accepts has sizes that agree with shapes and encodings,
  /// consecutive regions within the file, valid and unique names, and known codecs and encodings.
  package init(
    parsing bytes: ByteSlice, regionsEnd: Int, _ location: String
  ) throws(PackfileError) {
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes.bytes) } catch {
      throw PackfileError(location, .invalidJSON(error))
    }
    var layout = RegionLayout(end: regionsEnd, location: location)
    let root = try Members(
      value, "the manifest", location,
      ["model", "scheduler", "components", "files", "codecs", "provenance", "parity"])
    index = try root.object("model")
    scheduler = try root.objectOrNull("scheduler")
    codecs = try Self.codecs(root, location)
    components = []
    var names: Set<String> = []
    for value in try root.array("components") {
      let component = try Component(value, location, &layout)
      if !names.insert(component.name).inserted {
        throw PackfileError(location, .duplicate(place: "the manifest", name: component.name))
      }
      components.append(component)
    }
    files = []
    names = []
    for value in try root.array("files") {
      let file = try File(value, location, &layout)
      if !names.insert(file.path).inserted {
        throw PackfileError(location, .duplicate(place: "the manifest", name: file.path))
      }
      files.append(file)
    }
    provenance = try root.object("provenance")
    parity = try root.objectOrNull("parity")
    try layout.finish()
  }

  private static func codecs(_ root: Members, _ location: String) throws(PackfileError) -> [Int] {
    var codecs: [Int] = []
    for value in try root.array("codecs") {
      guard case .integer(let identifier) = value, identifier > codecs.last ?? -1 else {
        throw root.invalid("codecs", "not ascending whole numbers", "an ascending list of codecs")
      }
      if Codecs.codec(identifier) == nil {
        throw PackfileError(location, .unknownCodec(identifier))
      }
      codecs.append(identifier)
    }
    return codecs
  }
}

extension Manifest.Component {
  fileprivate init(
    _ value: JSONValue, _ location: String, _ layout: inout RegionLayout
  ) throws(PackfileError) {
    let members = try Members(
      value, "a component", location, ["name", "class", "config", "tensors"])
    name = try members.string("name", NameRules.component)
    className = try members.string("class")
    config = try members.object("config")
    tensors = []
    var names: Set<String> = []
    for value in try members.array("tensors") {
      let tensor = try Manifest.PackedTensor(value, in: name, location, &layout)
      if !names.insert(tensor.name).inserted {
        throw PackfileError(
          location, .duplicate(place: "component '\(name)'", name: tensor.name))
      }
      tensors.append(tensor)
    }
  }
}

extension Manifest.PackedTensor {
  fileprivate init(
    _ value: JSONValue, in component: String, _ location: String, _ layout: inout RegionLayout
  ) throws(PackfileError) {
    var members = try Members(
      value, "a tensor of component '\(component)'", location,
      ["name", "shape", "encoding", "parts"])
    name = try members.string("name", NameRules.tensor)
    let place = "\(component) tensor '\(name)'"
    members.place = place
    var extents: [Int] = []
    for value in try members.array("shape") {
      guard case .integer(let extent) = value, extent >= 0, extent < 1 << 31 else {
        throw members.invalid("shape", "not of whole numbers below 2^31", "a list of extents")
      }
      extents.append(extent)
    }
    guard extents.count <= 8, let shape = Shape(checking: extents) else {
      throw members.invalid("shape", "\(extents)", "at most 8 extents whose product fits 63 bits")
    }
    let encodingName = try members.string("encoding")
    guard let encoding = TensorEncoding(name: encodingName) else {
      throw PackfileError(location, .unknownEncoding(place: place, name: quoted(encodingName)))
    }
    guard let sizes = encoding.partSizes(for: shape), encoding.byteCount(for: shape) != nil else {
      throw members.invalid("shape", "\(shape)", "one that '\(encodingName)' can hold")
    }
    entry = TensorEntry(shape: shape, encoding: encoding)
    let parts = try members.array("parts")
    guard parts.count == sizes.count else {
      throw members.invalid(
        "parts", "\(parts.count) parts", "\(sizes.count) for '\(encodingName)'")
    }
    regions = []
    for (index, part) in parts.enumerated() {
      let place = sizes.count == 1 ? place : "\(place) (\(encoding.partNames[index]))"
      regions.append(try layout.region(part, place, decodedLength: sizes[index]))
    }
  }

  /// The part's name in messages.
  func place(_ part: Int, in component: String) -> String {
    let place = "\(component) tensor '\(name)'"
    return regions.count == 1 ? place : "\(place) (\(entry.encoding.partNames[part]))"
  }
}

extension Manifest.File {
  fileprivate init(
    _ value: JSONValue, _ location: String, _ layout: inout RegionLayout
  ) throws(PackfileError) {
    let members = try Members(value, "a file", location, ["path", "size", "data"])
    path = try members.string("path", NameRules.path)
    let size = try members.integer("size")
    region = try layout.region(try members.value("data"), "file '\(path)'", decodedLength: size)
  }

  /// The file's name in messages.
  var place: String { "file '\(path)'" }
}

/// Checks that regions follow each other without a gap.
private struct RegionLayout {
  /// The offset at which the last region must end.
  let end: Int
  let location: String
  /// The offset at which the next region must begin.
  private var next = Packfile.headerSize

  init(end: Int, location: String) {
    self.end = end
    self.location = location
  }

  mutating func region(
    _ value: JSONValue, _ place: String, decodedLength: Int
  ) throws(PackfileError) -> Manifest.Region {
    let isCoded = value.object?["planes"] != nil || value.object?["table"] != nil
    let members = try Members(
      value, place, location, ["offset", "length", "crc32"] + (isCoded ? ["planes", "table"] : []))
    let offset = try members.integer("offset")
    let length = try members.integer("length")
    if offset != next {
      throw PackfileError(location, .misplaced(region: place, offset: offset, expected: next))
    }
    guard offset <= end, length <= end - offset else {
      throw PackfileError(
        location, .outOfFile(region: place, offset: offset, length: length, limit: end))
    }
    next = Packfile.align(offset + length)
    var region = Manifest.Region(
      offset: offset, length: length, decodedLength: decodedLength,
      crc: try members.checksum("crc32"))
    if isCoded {
      region.coding = try coding(members, region)
    } else if length != decodedLength {
      throw PackfileError(
        location, .wrongSize(region: place, found: length, expected: decodedLength))
    }
    return region
  }

  private func coding(
    _ members: Members, _ region: Manifest.Region
  ) throws(PackfileError) -> Manifest.Coding {
    let planes = try members.integer("planes")
    guard [1, 2, 4, 8].contains(planes), region.decodedLength > 0,
      region.decodedLength % planes == 0
    else {
      throw members.invalid(
        "planes", "\(planes)", "1, 2, 4 or 8 planes that divide \(region.decodedLength) bytes")
    }
    // The table is smaller than the decoded length, so the product cannot overflow.
    let table =
      Manifest.Region.blocks(region.decodedLength, planes: planes) * planes
      * Packfile.tableEntrySize
    let stored = region.length - table
    guard stored > 0, stored <= region.decodedLength else {
      throw members.invalid(
        "length", "\(region.length)",
        "a table of \(table) bytes and 1 to \(region.decodedLength) bytes of chunks")
    }
    guard (region.decodedLength - 1) / Packfile.expansionLimit < stored else {
      throw PackfileError(
        location, .expands(region: members.place, from: stored, to: region.decodedLength))
    }
    return Manifest.Coding(planes: planes, tableCRC: try members.checksum("table"))
  }

  func finish() throws(PackfileError) {
    if next != end {
      throw PackfileError(
        location, .misplaced(region: "the manifest", offset: end, expected: next))
    }
  }
}
