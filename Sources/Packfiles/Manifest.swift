package import Support
package import Tensors

/// The table of contents of a `.decant` file: components, tensors, files and their regions.
package struct Manifest: Sendable, Equatable {
  /// A range of bytes that stores one part of a tensor, or one small file.
  package struct Region: Sendable, Hashable {
    /// Bytes from the start of the file, a multiple of 64.
    package var offset: Int
    /// Stored bytes.
    package var length: Int
    /// Bytes after decoding; equal to `length` where the region is not coded.
    package var decodedLength: Int
    /// CRC-32 of the decoded bytes.
    package var crc: UInt32
    /// The coding; `nil` where the bytes are stored uncoded and usable in place.
    package var coding: Coding?
  }

  /// The planes and the chunk table of a coded region.
  package struct Coding: Sendable, Hashable {
    /// Bytes of an element. Each byte goes to its own plane.
    package var planes: Int
    /// CRC-32 of the chunk table.
    package var tableCRC: UInt32
  }

  /// A tensor and the regions of its parts.
  package struct PackedTensor: Sendable, Hashable {
    package var name: String
    package var entry: TensorEntry
    package var regions: [Region]

    /// Stored bytes of all parts.
    package var storedBytes: Int { regions.reduce(0) { $0 + $1.length } }

    /// Whether any part is coded.
    package var isCoded: Bool { regions.contains { $0.coding != nil } }
  }

  /// A component of the model, such as the U-Net.
  package struct Component: Sendable, Equatable {
    package var name: String
    package var className: String
    package var config: JSONObject
    package var tensors: [PackedTensor]

    /// Stored bytes of all tensors.
    package var storedBytes: Int { tensors.reduce(0) { $0 + $1.storedBytes } }
  }

  /// A small file of the model, by its path in a diffusers folder.
  package struct File: Sendable, Hashable {
    package var path: String
    package var region: Region
  }

  /// The contents of `model_index.json`.
  package var index: JSONObject
  package var scheduler: JSONObject?
  package var components: [Component]
  package var files: [File]
  /// The identifiers of the codecs of all chunks, ascending.
  package var codecs: [Int]
  package var provenance: JSONObject
  /// The results of the model's verification; `nil` where it was not verified.
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
      "codecs": .integers(codecs),
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
      "shape": .integers(entry.shape.extents),
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

  /// The number of blocks of a coded region.
  static func blocks(_ decodedLength: Int, planes: Int) -> Int {
    (decodedLength / planes - 1) / Packfile.blockElements + 1
  }
}

extension ReplacingFile {
  /// Writes zeros up to the next multiple of 64 bytes.
  func align() throws(FileError) {
    try write([UInt8](repeating: 0, count: Packfile.align(offset) - offset))
  }

  /// Writes the manifest and the footer, and moves the file to its path.
  ///
  /// Parses the manifest first, so that readers accept every file that is written.
  ///
  /// - Precondition: the file's offset is aligned, and the regions end there.
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
