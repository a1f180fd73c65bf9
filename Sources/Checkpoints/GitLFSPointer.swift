internal import Support

/// The description of a file that Git LFS left in place of the weights.
let gitLFSPointer = "the file is a Git LFS pointer, not weights"

/// Whether the contents are a Git LFS pointer.
func isGitLFSPointer(_ contents: ByteSlice) -> Bool {
  let signature = [UInt8]("version https://git-lfs".utf8)
  return contents.count >= signature.count
    && contents[0..<signature.count].array == signature
}
