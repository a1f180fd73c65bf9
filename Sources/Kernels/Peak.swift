private import CKernels
private import Support

/// The multiply-adds per second of one thread whose operands are in the first-level cache: an upper
/// bound for the speed of a kernel.
package func peakProducts(int8: Bool) -> Double {
  let (rows, columns, length) = (ProductTiles.blockRows, ProductTiles.panelColumns, 192)
  let calls = 2000
  let operands = Scratch.floats(length * (rows + columns) + rows * columns)
  defer { Scratch.release(operands) }
  operands.base.update(repeating: 0, count: length * (rows + columns) + rows * columns)
  let words = UnsafeMutableRawPointer(operands.base).assumingMemoryBound(to: UInt32.self)
  let ones = [Float](repeating: 1, count: columns)
  let zeros = [Int32](repeating: 0, count: columns)
  var product = decant_product(
    c: operands.base + length * (rows + columns), stride: columns, rows: rows, columns: columns,
    bias: nil, residual: nil, keep: 0)
  var best = Duration.seconds(1000)
  for _ in 0..<7 {
    let start = ContinuousClock.now
    ones.withUnsafeBufferPointer { ones in
      zeros.withUnsafeBufferPointer { zeros in
        for _ in 0..<calls {
          if int8 {
            var whole = decant_int8_product(
              product: product, last: 1, row_scales: ones.baseAddress,
              row_sums: zeros.baseAddress, scales: ones.baseAddress, zeros: zeros.baseAddress)
            decant_product_u8s8(words, words + length * rows, length, &whole)
          } else {
            decant_product_f32(operands.base, operands.base + length * rows, length, &product)
          }
        }
      }
    }
    best = min(best, ContinuousClock.now - start)
  }
  return Double(calls * rows * columns * length * (int8 ? 4 : 1)) / best.seconds
}
