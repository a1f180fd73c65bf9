import Support

/// Files of the safetensors package.
struct SafetensorsArchive: ArchiveFormat {
  var kind: String { "safetensors file" }
  var container: String? { CheckpointWriter().name }

  /// A header's length, and the brace that it begins with.
  func recognizes(_ contents: ByteSlice) -> Bool {
    contents.count > 8 && contents[8..<9].array == [UInt8(ascii: "{")]
  }

  func open(_ path: String) throws -> Archive {
    let file = try SafetensorsFile(path: path)
    let strings = file.metadata.sorted { $0.key < $1.key }
    return Archive(
      weights: file, metadata: JSONObject(strings.map { ($0.key, .string($0.value)) }), kind: kind)
  }
}
