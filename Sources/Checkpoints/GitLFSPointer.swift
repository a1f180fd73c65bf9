internal import Support

/// The description of a file that Git LFS left in place of weights, or of a text.
func gitLFSPointer(_ path: String) -> String {
  let expected =
    switch PathParts(path).stemAndExtension.extension {
    case "json": "JSON"
    case "txt": "text"
    default: "weights"
    }
  return "\(path): the file is a Git LFS pointer, not \(expected)"
}

/// Whether the contents are a Git LFS pointer.
func isGitLFSPointer(_ contents: ByteSlice) -> Bool {
  let signature = [UInt8]("version https://git-lfs".utf8)
  return contents.count >= signature.count
    && contents[0..<signature.count].array == signature
}
