package import Support

extension ByteSlice {
  /// Copies the elements of a strided view into row-major order.
  ///
  /// The element at `[i, j, …]` is `i * strides[0] + j * strides[1] + …` elements after the slice's
  /// first byte.
  ///
  /// - Parameters:
  ///   - strides: the elements between neighbours along each axis, not negative.
  ///   - width: the bytes of one element.
  /// - Precondition: every element is within the slice.
  package func gathered(shape: Shape, strides: [Int], width: Int) -> ByteSlice {
    precondition(strides.count == shape.rank, "\(strides.count) strides for \(shape)")
    if shape.count == 0 { return ByteSlice([UInt8]()) }
    let last = zip(shape.extents, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
    precondition(
      strides.allSatisfy { $0 >= 0 } && (last + 1) * width <= count,
      "strides \(strides) of \(shape) exceed \(count) bytes")
    let rowLength = shape.extents.last ?? 1
    let step = (strides.last ?? 1) * width
    return ByteSlice(count: shape.count * width) { target in
      withUnsafeBytes { source in
        var place = [Int](repeating: 0, count: max(0, shape.rank - 1))
        var written = 0
        while written < target.count {
          var from = zip(place, strides).reduce(0) { $0 + $1.0 * $1.1 } * width
          let row = UnsafeMutableRawBufferPointer(
            rebasing: target[written..<written + rowLength * width])
          if step == width {
            row.copyMemory(
              from: UnsafeRawBufferPointer(rebasing: source[from..<from + row.count]))
          } else {
            switch width {
            case 2: copy(source, from, step, into: row, as: UInt16.self)
            case 4: copy(source, from, step, into: row, as: UInt32.self)
            case 8: copy(source, from, step, into: row, as: UInt64.self)
            default:
              for index in 0..<row.count {
                row[index] = source[from + index % width]
                if index % width == width - 1 { from += step }
              }
            }
          }
          written += row.count
          // Advance to the next row: increment the last index and carry to the left.
          for axis in place.indices.reversed() {
            place[axis] += 1
            if place[axis] < shape[axis] { break }
            place[axis] = 0
          }
        }
      }
    }
  }
}

/// Fills `row` with elements that are `step` bytes apart.
private func copy<Element: FixedWidthInteger>(
  _ source: UnsafeRawBufferPointer, _ start: Int, _ step: Int,
  into row: UnsafeMutableRawBufferPointer, as type: Element.Type
) {
  var from = start
  for offset in stride(from: 0, to: row.count, by: MemoryLayout<Element>.size) {
    row.storeBytes(
      of: source.loadUnaligned(fromByteOffset: from, as: type), toByteOffset: offset, as: type)
    from += step
  }
}
