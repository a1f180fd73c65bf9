private import CKernels
internal import Support

extension StoredTensor {
  /// Writes the numbers of `rows` as float32 to the start of `target`.
  func widen(rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    widen(rows: rows, columns: 0..<shape.rowLength, into: target)
  }

  /// Writes the numbers in `columns` of each of `rows`, one row after another.
  func widen(
    rows: Range<Int>, columns: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
  ) {
    let length = shape.rowLength
    let count = rows.count * columns.count
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= shape.rows && columns.lowerBound >= 0
        && columns.upperBound <= length && target.count >= count,
      "rows \(rows), columns \(columns) of \(shape) into \(target.count) numbers")
    guard count > 0, let output = target.baseAddress else { return }
    switch encoding {
    case .plain(let kind): widenNumbers(of: kind, rows, columns, into: output)
    case .scaled(let kind):
      widenNumbers(of: kind, rows, columns, into: output)
      let scale = parts[1].withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
      for index in 0..<count { output[index] *= scale }
    case .codes(let format):
      if format.isRotated {
        widenRotated(format, rows, columns, into: output)
      } else {
        widen(format, rows, columns, into: output)
      }
    }
  }

  /// Widens codes without undoing a rotation.
  private func widen(
    _ format: CodeFormat, _ rows: Range<Int>, _ columns: Range<Int>,
    into output: UnsafeMutablePointer<Float>
  ) {
    if format.isSimple {
      widenSimple(format, rows, columns, into: output)
    } else {
      widenCodes(format, rows, columns, into: output)
    }
  }

  /// Widens codes of rotated weights, and rotates them back. Groups are widened as a whole.
  private func widenRotated(
    _ format: CodeFormat, _ rows: Range<Int>, _ columns: Range<Int>,
    into output: UnsafeMutablePointer<Float>
  ) {
    guard let size = CodeFormat.rotationSize(for: shape.rowLength) else { return }
    let first = columns.lowerBound / size * size
    let end = (columns.upperBound + size - 1) / size * size
    withUnsafeTemporaryAllocation(of: Float.self, capacity: end - first) { groups in
      guard let base = groups.baseAddress else { return }
      for (index, row) in rows.enumerated() {
        widen(format, row..<row + 1, first..<end, into: base)
        var span = MutableSpan(_unsafeElements: groups)
        rotate(&span, groupSize: size)
        (output + index * columns.count).update(
          from: base + columns.lowerBound - first, count: columns.count)
      }
    }
  }

  /// Widens the numbers of the first part, which are of a plain kind.
  private func widenNumbers(
    of kind: ElementKind, _ rows: Range<Int>, _ columns: Range<Int>,
    into output: UnsafeMutablePointer<Float>
  ) {
    let (length, width) = (shape.rowLength, kind.bitWidth / 8)
    parts[0].withUnsafeBytes { raw in
      // Whole rows are contiguous and can be widened together.
      let runs = columns.count == length ? 1 : rows.count
      for run in 0..<runs {
        let first = (rows.lowerBound + run) * length + columns.lowerBound
        widenPlain(
          kind, UnsafeRawBufferPointer(rebasing: raw[(first * width)...]),
          count: rows.count * columns.count / runs, into: output + run * columns.count)
      }
    }
  }

  /// Widens codes of a ``CodeFormat/isSimple`` format, without intermediate copies.
  private func widenSimple(
    _ format: CodeFormat, _ rows: Range<Int>, _ columns: Range<Int>,
    into output: UnsafeMutablePointer<Float>
  ) {
    guard let packer = format.packer else { return }
    let length = shape.rowLength
    let groups = format.scales[0].runs(in: length)
    let size = format.scales[0].runLength ?? length
    let hasHalfScales = format.scales[0].kind == .f16
    parts[format.codePartCount].withUnsafeBytes { scales in
      withCodeRows(of: packer) { place in
        for (index, row) in rows.enumerated() {
          var start = columns.lowerBound
          while start < columns.upperBound {
            let group = start / size
            let end = min(columns.upperBound, (group + 1) * size)
            let scale = scaleOf(group: row * groups + group, scales, half: hasHalfScales)
            packer.widen(
              place(row), columns: start..<end, scale: scale,
              into: output + index * columns.count + start - columns.lowerBound)
            start = end
          }
        }
      }
    }
  }

  /// Widens codes of any format.
  private func widenCodes(
    _ format: CodeFormat, _ rows: Range<Int>, _ columns: Range<Int>,
    into output: UnsafeMutablePointer<Float>
  ) {
    guard let packer = format.packer else { return }
    let factors = format.factors.indices.map { factorNumbers(format, $0, rows, columns) }
    let scaleCount = format.scales.count
    withUnsafeTemporaryAllocation(of: Int16.self, capacity: columns.count) { codes in
      guard let codes = codes.baseAddress else { return }
      withCodeRows(of: packer) { place in
        for (index, row) in rows.enumerated() {
          packer.unpack(place(row), columns: columns, into: codes)
          let target = output + index * columns.count
          var start = columns.lowerBound
          while start < columns.upperBound {
            // The numbers of every factor are the same up to `end`.
            var end = columns.upperBound
            var (scale, minimum): (Float, Float) = (1, 1)
            for (number, factor) in factors.enumerated() {
              let value = factor.number(index, start)
              if number < scaleCount { scale *= value } else { minimum *= value }
              end = min(end, factor.end(of: start))
            }
            let zeroPoint = Int32(format.zeroPoint)
            let isSymmetric = factors.count == scaleCount
            for column in start - columns.lowerBound..<end - columns.lowerBound {
              let product = scale * Float(Int32(codes[column]) - zeroPoint)
              target[column] = isSymmetric ? product : product - minimum
            }
            start = end
          }
        }
      }
    }
  }

  /// The numbers of a factor for the weights of some rows and columns.
  private func factorNumbers(
    _ format: CodeFormat, _ index: Int, _ rows: Range<Int>, _ columns: Range<Int>
  ) -> FactorNumbers {
    let factor = format.factors[index]
    let length = shape.rowLength
    let size = factor.runLength ?? length
    let first = columns.lowerBound / size
    let count = (columns.upperBound - 1) / size + 1 - first
    let numbers = StoredTensor(
      shape: [shape.rows, factor.runs(in: length)], encoding: .plain(factor.kind),
      parts: [parts[format.codePartCount + index]])
    let values = [Float](unsafeUninitializedCapacity: rows.count * count) { buffer, used in
      numbers.widen(rows: rows, columns: first..<first + count, into: buffer)
      used = rows.count * count
    }
    return FactorNumbers(values: values, runLength: size, first: first, runs: count)
  }
}

/// The numbers of a ``CodeFormat/Factor`` in some rows and columns of a tensor.
private struct FactorNumbers {
  /// [rows, ``runs``].
  let values: [Float]
  let runLength: Int
  /// The run of the first number of a row.
  let first: Int
  let runs: Int

  /// The number for a weight, by the index of its row and its column in the tensor.
  func number(_ row: Int, _ column: Int) -> Float {
    values[row * runs + column / runLength - first]
  }

  /// The column after those with the same number as `column`.
  func end(of column: Int) -> Int { (column / runLength + 1) * runLength }
}

extension CodeFormat {
  /// Whether a weight is its code times one float16 or float32, as the packers widen it.
  fileprivate var isSimple: Bool {
    scales.count == 1 && minimums.isEmpty && zeroPoint == 0
      && (scales[0].kind == .f16 || scales[0].kind == .f32)
  }
}

extension StoredTensor {
  /// The bytes of the first part that hold the numbers in `columns`: the offset of the first number
  /// in the first row, the bytes from one row to the next, and the bytes of each row. The values
  /// are approximate for codes that share a byte.
  package func place(
    ofColumns columns: Range<Int>
  ) -> (offset: Int, stride: Int, count: Int) {
    let stride = shape.rows == 0 ? 0 : parts[0].count / shape.rows
    let length = max(1, shape.rowLength)
    let first = columns.lowerBound * stride / length
    return (first, stride, columns.upperBound * stride / length - first)
  }
}

private func scaleOf(group: Int, _ scales: UnsafeRawBufferPointer, half: Bool) -> Float {
  half
    ? Float(Float16(bitPattern: scales.loadUnaligned(fromByteOffset: group * 2, as: UInt16.self)))
    : scales.loadUnaligned(fromByteOffset: group * 4, as: Float.self)
}

/// Widens the first `count` numbers of `kind` in `source`, which need not be aligned.
private func widenPlain(
  _ kind: ElementKind, _ source: UnsafeRawBufferPointer, count: Int,
  into target: UnsafeMutablePointer<Float>
) {
  func each<Stored: BitwiseCopyable>(_: Stored.Type, _ widen: (Stored) -> Float) {
    let stride = MemoryLayout<Stored>.stride
    for index in 0..<count {
      target[index] = widen(source.loadUnaligned(fromByteOffset: index * stride, as: Stored.self))
    }
  }
  switch kind {
  case .f32:
    UnsafeMutableRawPointer(target).copyMemory(
      from: source.baseAddress ?? UnsafeRawPointer(target), byteCount: count * 4)
  case .f16, .bf16:
    guard let base = source.baseAddress else { return }
    if UInt(bitPattern: base) % 2 == 0 {
      let halves = base.assumingMemoryBound(to: UInt16.self)
      if kind == .f16 {
        decant_f16_to_f32(halves, target, count)
      } else {
        decant_bf16_to_f32(halves, target, count)
      }
    } else if kind == .f16 {
      each(UInt16.self) { Float(Float16(bitPattern: $0)) }
    } else {
      each(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
    }
  case .f64: each(Double.self) { Float($0) }
  case .f8e4m3:
    float8Numbers.withUnsafeBufferPointer { numbers in
      for index in 0..<count { target[index] = numbers[Int(source[index])] }
    }
  case .f8e5m2: each(UInt8.self) { Float(Float16(bitPattern: UInt16($0) << 8)) }
  case .f8e8m0:
    each(UInt8.self) {
      $0 == 0xff ? .nan : Float(sign: .plus, exponent: Int($0) - 127, significand: 1)
    }
  case .f8e4m3fnuz: each(UInt8.self) { widenFNUZ($0, exponentBits: 4, mantissaBits: 3) }
  case .f8e5m2fnuz: each(UInt8.self) { widenFNUZ($0, exponentBits: 5, mantissaBits: 2) }
  case .bool: each(UInt8.self) { $0 == 0 ? 0 : 1 }
  case .u8: each(UInt8.self) { Float($0) }
  case .i8: each(Int8.self) { Float($0) }
  case .u16: each(UInt16.self) { Float($0) }
  case .i16: each(Int16.self) { Float($0) }
  case .u32: each(UInt32.self) { Float($0) }
  case .i32: each(Int32.self) { Float($0) }
  case .u64: each(UInt64.self) { Float($0) }
  case .i64: each(Int64.self) { Float($0) }
  case .f4, .f6e2m3, .f6e3m2, .c64:
    preconditionFailure("\(kind.rawValue) cannot be widened to float32")
  }
}

/// The number of every code of float8_e4m3fn.
private let float8Numbers = (0...UInt8.max).map(widenE4M3)

/// Widens OCP FP8 E4M3, PyTorch's `torch.float8_e4m3fn`. It has no infinities; 0x7f and 0xff are
/// NaN.
private func widenE4M3(_ byte: UInt8) -> Float {
  let sign: Float = byte & 0x80 == 0 ? 1 : -1
  let exponent = Int(byte >> 3 & 15)
  let mantissa = Float(byte & 7)
  if byte & 0x7f == 0x7f { return .nan }
  if exponent == 0 { return sign * mantissa * 0x1p-9 }
  return sign * (1 + mantissa / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
}

/// Widens the 8-bit kinds without infinities and negative zero (Noune et al., 2022). 0x80 is the
/// only NaN, and the exponent's bias is one more than that of IEEE 754.
private func widenFNUZ(_ byte: UInt8, exponentBits: Int, mantissaBits: Int) -> Float {
  if byte == 0x80 { return .nan }
  let bias = 1 << (exponentBits - 1)
  let exponent = Int(byte & 0x7f) >> mantissaBits
  let mantissa = Float(Int(byte) & ((1 << mantissaBits) - 1)) / Float(1 << mantissaBits)
  let magnitude =
    exponent == 0
    ? mantissa * Float(sign: .plus, exponent: 1 - bias, significand: 1)
    : (1 + mantissa) * Float(sign: .plus, exponent: exponent - bias, significand: 1)
  return byte & 0x80 == 0 ? magnitude : -magnitude
}

extension StoredTensor {
  /// Whether a number of the tensor, or a scale or minimum of its codes, is NaN or infinite.
  package var hasNonfinite: Bool {
    switch encoding {
    case .plain(let kind):
      guard kind.isFloatingPoint, kind.isWidenable else { return false }
      if let exponent = kind.halfExponent, let found = parts[0].hasHalf(covering: exponent) {
        return found
      }
      // A few rows at a time bound the memory for a tensor of any size.
      let step = max(1, (1 << 16) / max(1, shape.rowLength))
      return stride(from: 0, to: shape.rows, by: step).contains { row in
        let range = row..<min(row + step, shape.rows)
        if let found = withFloatsInPlace(rows: range, containsNonfinite) { return found }
        let floats = [Float](unsafeUninitializedCapacity: range.count * shape.rowLength) {
          widen(rows: range, into: $0)
          $1 = range.count * shape.rowLength
        }
        return containsNonfinite(floats.span)
      }
    case .codes(let format):
      return zip(format.factors, parts.dropFirst(format.codePartCount)).contains { factor, part in
        let count = part.count / (factor.kind.bitWidth / 8)
        return StoredTensor(shape: [count], encoding: .plain(factor.kind), parts: [part])
          .hasNonfinite
      }
    case .scaled(let kind):
      return StoredTensor(shape: shape, encoding: .plain(kind), parts: [parts[0]]).hasNonfinite
        || StoredTensor(shape: [], encoding: .plain(.f32), parts: [parts[1]]).hasNonfinite
    }
  }
}

/// Whether any of `values` is NaN or infinite.
package func containsNonfinite(_ values: Span<Float>) -> Bool {
  values.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return false }
    return decant_f32_has_nonfinite(base, buffer.count) != 0
  }
}

extension ElementKind {
  /// The bits of the exponent, which are all set in NaN and infinities only; `nil` for kinds that
  /// are not two bytes wide.
  fileprivate var halfExponent: UInt16? {
    switch self {
    case .f16: 0x7c00
    case .bf16: 0x7f80
    default: nil
    }
  }
}

extension ByteSlice {
  /// Whether any two-byte word has all bits of `mask` set; `nil` when the words are not aligned.
  fileprivate func hasHalf(covering mask: UInt16) -> Bool? {
    withUnsafeBytes { raw in
      guard let base = raw.baseAddress else { return false }
      guard UInt(bitPattern: base) % 2 == 0 else { return nil }
      return decant_u16_covers(base.assumingMemoryBound(to: UInt16.self), mask, raw.count / 2) != 0
    }
  }
}
