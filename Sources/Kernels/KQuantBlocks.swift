private import CKernels
package import Support
package import Tensors

/// The codes and scales of a matrix in ggml's K-quants.
package struct KQuantBlocks: Sendable {
  /// One code for each weight, row-major, as the format stores them.
  package let codes: [Int16]
  /// The parts of the format after the codes.
  package let numbers: [ByteSlice]
  /// The largest scale or minimum of a block before it was rounded to float16. Above 65504, the
  /// results have no meaning.
  package let largestScale: Float
}

/// Chooses the numbers of ``CodeFormat/kQuant(bits:)`` or ``CodeFormat/q6K`` with the least squared
/// error that a search finds.
///
/// For each group, 21 scales near that of the group's range (19 in Q6_K) give codes, and the normal
/// equations give the scale and the minimum that fit the codes best. They are rounded to integers times
/// the block's largest divided by 63 (-128); then the neighbours of each integer are compared by the
/// error of the weights as they are read, with new codes. Squares count times the mean squares, of
/// which none counts less than a thousandth of the largest.
///
/// The result does not depend on the number of threads or the instruction set.
///
/// - Parameter meanSquares: one for each weight of a row, not negative; `nil` means all 1.
/// - Precondition: all weights are finite, and rows are whole blocks.
package func kQuantBlocks(
  of weights: StoredTensor, meanSquares: [Float]?, as format: CodeFormat
) -> KQuantBlocks {
  let size = CodeFormat.kQuantBlock
  let (rows, length) = (weights.shape.rows, weights.shape.rowLength)
  precondition(
    format.blockLength == size && length % size == 0
      && (meanSquares == nil || meanSquares?.count == length),
    "\(format.name) for rows of \(length), \(meanSquares?.count ?? length) mean squares")
  let count = rows * length / size
  let importance = importances(meanSquares, length)
  let hasMinimums = !format.minimums.isEmpty
  // The largest code of formats with minimums, whose stored codes begin at their zero point.
  let levels = (1 << format.bits) - 1
  // The bytes of each part after the codes, block by block.
  let widths = format.factors.map { size / ($0.runLength ?? size) * $0.kind.bitWidth / 8 }
  let offsets = widths.indices.map { count * widths[..<$0].reduce(0, +) }
  var numbers = [UInt8](repeating: 0, count: count * widths.reduce(0, +))
  var largest = [Float](repeating: 0, count: rows)
  let codes = [Int16](unsafeUninitializedCapacity: rows * length) { codes, used in
    used = rows * length
    let codes = DisjointSlices(codes)
    largest.withUnsafeMutableBufferPointer { largest in
      let largest = DisjointSlices(largest)
      numbers.withUnsafeMutableBufferPointer { numbers in
        let numbers = DisjointSlices(numbers)
        parallel(count == 0 ? 0 : rows) { row in
          let floats = [Float](unsafeUninitializedCapacity: length) {
            var target = MutableSpan(_unsafeElements: $0)
            weights.widen(rows: row..<row + 1, into: &target)
            $1 = length
          }
          for start in stride(from: 0, to: length, by: size) {
            let block = (row * length + start) / size
            let target = codes[row * length + start..<row * length + start + size]
            let parts = zip(offsets, widths).map {
              numbers[$0 + block * $1..<$0 + (block + 1) * $1]
            }
            let scale = floats.withUnsafeBufferPointer { floats in
              importance.withUnsafeBufferPointer { importance in
                roundBlock(
                  floats, importance, start, codes: target, parts,
                  levels: hasMinimums ? levels : nil)
              }
            }
            largest[row] = max(largest[row], scale)
            if hasMinimums {
              for index in target.indices { target[index] += Int16(format.zeroPoint) }
            }
          }
        }
      }
    }
  }
  let parts = zip(offsets, widths).map { ByteSlice(Array(numbers[$0..<$0 + count * $1])) }
  return KQuantBlocks(codes: codes, numbers: parts, largestScale: largest.max() ?? 0)
}

/// Chooses the numbers of the block at `start`, and returns its largest scale or minimum.
///
/// - Parameter levels: the largest code of formats with minimums; `nil` for Q6_K.
private func roundBlock(
  _ weights: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>, _ start: Int,
  codes: UnsafeMutableBufferPointer<Int16>, _ parts: [UnsafeMutableBufferPointer<UInt8>],
  levels: Int?
) -> Float {
  guard let weights = weights.baseAddress, let importance = importance.baseAddress,
    let codes = codes.baseAddress
  else { return 0 }
  func store(_ half: UInt16, in part: Int) {
    parts[part][0] = UInt8(truncatingIfNeeded: half)
    parts[part][1] = UInt8(half >> 8)
  }
  // Squares of larger numbers overflow, and no scale of theirs fits float16.
  let magnitude = decant_largest_magnitude(weights + start, CodeFormat.kQuantBlock)
  if magnitude > 1e12 {
    codes.update(repeating: 0, count: CodeFormat.kQuantBlock)
    return magnitude / Float(63 * (levels ?? 63))
  }
  guard let levels else {
    var scale: UInt16 = 0
    var groups = [Int8](repeating: 0, count: 16)
    let largest = decant_symmetric_block(
      weights + start, importance + start, &scale, &groups, codes)
    store(scale, in: 0)
    for index in groups.indices { parts[1][index] = UInt8(bitPattern: groups[index]) }
    return largest
  }
  var halves: [UInt16] = [0, 0]
  var groups = [UInt8](repeating: 0, count: 16)
  let largest = decant_affine_block(
    weights + start, importance + start, Int32(levels), &halves, &groups, codes)
  for part in 0..<2 {
    store(halves[part], in: 2 * part)
    for index in 0..<8 { parts[2 * part + 1][index] = groups[8 * part + index] }
  }
  return largest
}

/// Mean squares divided by the largest, at least a thousandth each; all 1 without any.
private func importances(_ meanSquares: [Float]?, _ length: Int) -> [Float] {
  guard let meanSquares, let largest = meanSquares.max(), largest > 0 else {
    return [Float](repeating: 1, count: length)
  }
  return meanSquares.map { max(0.001, $0 / largest) }
}
