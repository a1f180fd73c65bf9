internal import Support

extension PackfileReader {
  /// Verifies the stored bytes, the decoded bytes and the padding of every region. Opening the file
  /// has verified the rest. Memory does not depend on the file's size.
  ///
  /// - Parameter progress: called with the bytes of the file checked so far and in total.
  /// - Throws: ``PackfileError`` that names the first damaged tensor or file, or
  ///   `CancellationError`.
  package func check(progress: (_ done: Int, _ total: Int) -> Void) throws {
    for component in manifest.components {
      for tensor in component.tensors {
        for (part, region) in tensor.regions.enumerated() {
          try check(region, tensor.place(part, in: component.name), progress)
        }
      }
    }
    for file in manifest.files { try check(file.region, file.place, progress) }
    progress(byteCount, byteCount)
  }

  private func check(
    _ region: Manifest.Region, _ place: String, _ progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let end = region.offset + region.length
    if let coding = region.coding {
      try Cancellation.check()
      try decode(region, coding, place) { _ in }
    } else {
      var crc: UInt32 = 0
      let step = 4 << 20
      for start in stride(from: region.offset, to: end, by: step) {
        try Cancellation.check()
        let slice = contents.window(start..<min(start + step, end))
        crc = crc32(of: slice.bytes, after: crc)
      }
      if crc != region.crc { throw PackfileError(location, .damaged(region: place)) }
    }
    try checkPadding(after: region, place)
    progress(end, byteCount)
  }
}
