import Support

/// Reads safetensors files.
struct SafetensorsArchive: ArchiveFormat {
  var kind: String { "safetensors file" }

  /// A file whose header begins with a brace, after the header's length of 8 bytes.
  func recognizes(_ contents: ByteSlice) -> Bool {
    contents.count > 8 && contents[8..<9].array == [UInt8(ascii: "{")]
  }

  func open(_ path: String) throws -> Archive {
    let file = try SafetensorsFile(path: path)
    return Archive(weights: file, metadata: file.metadataObject, kind: kind)
  }
}

extension SafetensorsFile {
  /// ``metadata`` by name.
  var metadataObject: JSONObject {
    JSONObject(metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
  }
}
