private import CKernels
package import Support

// Byte planes of numbers that are 1, 2, 4 or 8 bytes wide: plane `p` holds byte `p` of each number.

extension ByteSlice {
  /// The number of times that byte `p` of a number has value `v`, at index `p * 256 + v`.
  ///
  /// - Precondition: the slice holds whole numbers of `planes` bytes, fewer than 2^32.
  package func byteCounts(planes: Int) -> [UInt32] {
    let elements = elements(of: planes)
    precondition(elements <= UInt32.max, "\(elements) numbers are too many to count")
    var counts = [UInt32](repeating: 0, count: planes * 256)
    withUnsafeBytes { raw in
      decant_count_bytes(
        raw.baseAddress?.assumingMemoryBound(to: UInt8.self), elements, planes, &counts)
    }
    return counts
  }

  /// Byte `plane` of each number.
  ///
  /// - Precondition: the slice holds whole numbers of `planes` bytes.
  package func plane(_ plane: Int, of planes: Int) -> [UInt8] {
    let elements = elements(of: planes)
    precondition(plane >= 0 && plane < planes, "plane \(plane) of \(planes)")
    return [UInt8](unsafeUninitializedCapacity: elements) { target, count in
      withUnsafeBytes { raw in
        decant_take_plane(
          raw.baseAddress?.assumingMemoryBound(to: UInt8.self), elements, planes, plane,
          target.baseAddress)
      }
      count = elements
    }
  }

  private func elements(of planes: Int) -> Int {
    precondition(
      [1, 2, 4, 8].contains(planes) && count % planes == 0, "\(count) bytes in \(planes) planes")
    return count / planes
  }
}

/// Joins byte planes into numbers; the inverse of ``ByteSlice/plane(_:of:)``.
///
/// - Precondition: 1, 2, 4 or 8 planes of one size.
package func joined(planes: [[UInt8]]) -> [UInt8] {
  guard planes.count > 1, let elements = planes.first?.count else { return planes.first ?? [] }
  precondition(
    [2, 4, 8].contains(planes.count) && planes.allSatisfy { $0.count == elements },
    "planes of \(planes.map(\.count)) bytes")
  return withPointers(to: planes[...]) { pointers in
    [UInt8](unsafeUninitializedCapacity: elements * planes.count) { target, count in
      decant_join_planes(pointers, elements, planes.count, target.baseAddress)
      count = elements * planes.count
    }
  }
}

/// Runs `body` with a pointer to the elements of each array.
private func withPointers<Result>(
  to arrays: ArraySlice<[UInt8]>, _ pointers: [UnsafePointer<UInt8>?] = [],
  _ body: ([UnsafePointer<UInt8>?]) -> Result
) -> Result {
  guard let first = arrays.first else { return body(pointers) }
  return first.withUnsafeBufferPointer {
    withPointers(to: arrays.dropFirst(), pointers + [$0.baseAddress], body)
  }
}
