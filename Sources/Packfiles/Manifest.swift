package import Support
package import Tensors

/// What a `.decant` file says of itself: which regions there are and what they hold.
package struct Manifest: Sendable, Equatable {
  /// The stored form of one part of a tensor, or of one file.
  package struct Region: Sendable, Hashable {
    /// Where it begins in the file, a multiple of 64.
    package var offset: Int
    /// Bytes as stored.
    package var length: Int
    /// Bytes of what it holds; equal to `length` unless it is coded.
    package var decodedLength: Int
    /// CRC-32 of what it holds.
    package var crc: UInt32
    /// How it is coded; `nil` when it is stored as it is and usable in place.
    package var coding: Coding?
  }

  /// Planes and chunk table of a coded region.
  package struct Coding: Sendable, Hashable {
    /// Bytes of an element, each of which goes to a plane of its own.
    package var planes: Int
    /// CRC-32 of the chunk table.
    package var tableCRC: UInt32
  }

  package struct PackedTensor: Sendable, Hashable {
    package var name: String
    package var entry: TensorEntry
    package var regions: [Region]

    /// Bytes of all parts as stored.
    package var storedBytes: Int { regions.reduce(0) { $0 + $1.length } }

    /// Whether any part must be decoded before it is used.
    package var isCoded: Bool { regions.contains { $0.coding != nil } }
  }

  package struct Component: Sendable, Equatable {
    package var name: String
    package var className: String
    package var config: JSONObject
    package var tensors: [PackedTensor]

    /// Bytes of all tensors as stored.
    package var storedBytes: Int { tensors.reduce(0) { $0 + $1.storedBytes } }
  }

  package struct File: Sendable, Hashable {
    package var path: String
    package var region: Region
  }

  package var index: JSONObject
  package var scheduler: JSONObject?
  package var components: [Component]
  package var files: [File]
  /// Identifiers of the codecs that chunks use, ascending.
  package var codecs: [Int]
  package var provenance: JSONObject
  /// The figures of its verification; `nil` when there was none.
  package var parity: JSONObject?
}

// MARK: - Writing

extension Manifest {
  package var json: JSONValue {
    [
      "model": .object(index),
      "scheduler": scheduler.map { .object($0) } ?? .null,
      "components": .array(components.map(\.json)),
      "files": .array(files.map(\.json)),
      "codecs": .array(codecs.map { .integer($0) }),
      "provenance": .object(provenance),
      "parity": parity.map { .object($0) } ?? .null,
    ]
  }
}

extension Manifest.Component {
  fileprivate var json: JSONValue {
    [
      "name": .string(name),
      "class": .string(className),
      "config": .object(config),
      "tensors": .array(tensors.map(\.json)),
    ]
  }
}

extension Manifest.PackedTensor {
  fileprivate var json: JSONValue {
    [
      "name": .string(name),
      "shape": .array(entry.shape.extents.map { .integer($0) }),
      "encoding": .string(entry.encoding.name),
      "parts": .array(regions.map(\.json)),
    ]
  }
}

extension Manifest.File {
  fileprivate var json: JSONValue {
    ["path": .string(path), "size": .integer(region.decodedLength), "data": region.json]
  }
}

extension Manifest.Region {
  fileprivate var json: JSONValue {
    var object: JSONObject = [
      "offset": .integer(offset),
      "length": .integer(length),
      "crc32": .string(hexadecimalText(crc)),
    ]
    if let coding {
      object["planes"] = .integer(coding.planes)
      object["table"] = .string(hexadecimalText(coding.tableCRC))
    }
    return .object(object)
  }

  /// Blocks of a region that is coded in so many planes.
  static func blocks(_ decodedLength: Int, planes: Int) -> Int {
    (decodedLength / planes - 1) / Packfile.blockElements + 1
  }
}

extension ReplacingFile {
  /// Writes zeros up to the next multiple of 64.
  func align() throws(FileError) {
    try write([UInt8](repeating: 0, count: Packfile.align(offset) - offset))
  }

  /// Ends the file with `manifest` and a footer, and puts it in its place.
  ///
  /// The manifest is read back first, so that no file appears that a reader would refuse.
  ///
  /// - Precondition: the file's offset is where the regions end, and aligned.
  func finish(_ manifest: Manifest) throws {
    let text = [UInt8](manifest.json.text().utf8)
    guard text.count <= Packfile.manifestLimit else {
      throw PackfileError(path, .manifestTooLong(bytes: UInt64(text.count)))
    }
    _ = try Manifest(parsing: ByteSlice(text), regionsEnd: offset, path)
    let footer = Frame.footer(manifest: text, at: offset)
    try write(text)
    try write(footer)
    try commit()
  }
}
