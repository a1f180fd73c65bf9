import CKernels
import Support
import Tensors
import TestSupport
import Testing

/// Conversions of float16 and bfloat16 numbers, and of integer codes.
struct ConversionTests {
  private func widened(
    _ halves: [UInt16], _ widen: (UnsafePointer<UInt16>?, UnsafeMutablePointer<Float>?, Int) -> Void
  ) -> [Float] {
    [Float](unsafeUninitializedCapacity: halves.count) {
      widen(halves, $0.baseAddress, halves.count)
      $1 = halves.count
    }
  }

  private func narrowed(
    _ floats: [Float], _ narrow: (UnsafePointer<Float>?, UnsafeMutablePointer<UInt16>?, Int) -> Void
  ) -> [UInt16] {
    [UInt16](unsafeUninitializedCapacity: floats.count) {
      narrow(floats, $0.baseAddress, floats.count)
      $1 = floats.count
    }
  }

  private let everyPattern = (0...UInt16.max).map { $0 }

  @Test func everyHalfWidens() {
    onEveryInstructionSet { level in
      let found = widened(everyPattern, decant_f16_to_f32)
      let wrong = zip(everyPattern, found).filter { bits, float in
        let half = Float16(bitPattern: bits)
        return half.isNaN
          ? !float.isNaN || float.sign != half.sign || float.isSignalingNaN
          : Float(half).bitPattern != float.bitPattern
      }
      #expect(wrong.isEmpty, "level \(level): \(wrong.prefix(3))")
    }
  }

  /// Packing in blocks of 14 rows widens float16 numbers as the conversion does.
  @Test func everyHalfPacks() {
    let rowsOfBlock = Int(DECANT_TILE_ROWS)
    let length = 4682
    let halves = everyPattern + everyPattern.prefix(rowsOfBlock * length - everyPattern.count)
    onEveryInstructionSet { level in
      let widened = widened(halves, decant_f16_to_f32)
      // Whole blocks, then partial vectors of rows and words, from an odd index.
      for (rows, first, count) in [(14, 0, length), (14, 1, 70), (9, 3, 33), (1, 0, 16), (8, 0, 5)]
      {
        var packed = [UInt32](repeating: 1, count: count * rowsOfBlock + 1)
        halves.withUnsafeBufferPointer { halves in
          decant_pack_halves(halves.baseAddress! + first, length, rows, count, &packed)
        }
        let expected = (0..<count).flatMap { step in
          (0..<rowsOfBlock).map { $0 < rows ? widened[$0 * length + first + step].bitPattern : 0 }
        }
        #expect(packed.dropLast().elementsEqual(expected), "level \(level): \(rows) x \(count)")
        #expect(packed.last == 1)
      }
    }
  }

  @Test func everyBrainHalfWidens() {
    onEveryInstructionSet { level in
      let found = widened(everyPattern, decant_bf16_to_f32).map(\.bitPattern)
      #expect(found == everyPattern.map { UInt32($0) << 16 }, "level \(level)")
    }
  }

  /// Each float16 number, the midpoint to the next one, and the neighbouring floats of both.
  private func neighbours(_ widen: (UInt16) -> Float) -> [Float] {
    everyPattern.dropLast().flatMap { bits -> [Float] in
      let (low, high) = (widen(bits), widen(bits + 1))
      guard low.isFinite && high.isFinite && low.sign == high.sign else { return [low] }
      let middle = Float((Double(low) + Double(high)) / 2)
      return [low, low.nextUp, middle.nextDown, middle, middle.nextUp, high.nextDown]
    }
  }

  @Test func everyHalfNarrows() {
    let floats =
      neighbours { Float(Float16(bitPattern: $0)) } + [
        65519.996, 65520, .infinity, -.infinity, 1e9,
      ]
    let expected = floats.map { Float16($0).bitPattern }
    onEveryInstructionSet { level in
      let found = narrowed(floats, decant_f32_to_f16)
      let wrong = floats.indices.filter {
        floats[$0].isNaN ? !Float16(bitPattern: found[$0]).isNaN : found[$0] != expected[$0]
      }
      #expect(wrong.isEmpty, "level \(level): \(wrong.prefix(3).map { floats[$0] })")
    }
  }

  @Test func everyBrainHalfNarrows() {
    let floats = neighbours { Float(bitPattern: UInt32($0) << 16) }
    onEveryInstructionSet { level in
      let found = narrowed(floats, decant_f32_to_bf16)
      let wrong = zip(floats, found).filter { float, bits in
        let back = Float(bitPattern: UInt32(bits) << 16)
        if float.isNaN || float.isInfinite { return float.isNaN ? !back.isNaN : back != float }
        // The nearest of the two bfloat16 neighbours, and the even one in a tie.
        let low = Float(bitPattern: float.bitPattern & 0xffff_0000)
        let high = Double(Float(bitPattern: (float.bitPattern >> 16 + 1) << 16))
        let up = abs(high - Double(float))
        let down = abs(Double(float) - Double(low))
        let roundsUp = up < down || up == down && low.bitPattern >> 16 & 1 == 1
        let expected = UInt16(truncatingIfNeeded: low.bitPattern >> 16) + (roundsUp ? 1 : 0)
        return bits != expected
      }
      #expect(wrong.isEmpty, "level \(level): \(wrong.prefix(3))")
    }
  }

  @Test func notANumberIsKept() {
    let floats = [UInt32(0x7f80_0001), 0x7fc0_0000, 0x7fff_ffff, 0xff80_0001, 0xffff_ffff].map {
      Float(bitPattern: $0)
    }
    let rows = [[Float]](repeating: floats, count: 4).flatMap { $0 }
    onEveryInstructionSet { _ in
      #expect(narrowed(rows, decant_f32_to_f16).allSatisfy { Float16(bitPattern: $0).isNaN })
      #expect(
        narrowed(rows, decant_f32_to_bf16).allSatisfy { Float(bitPattern: UInt32($0) << 16).isNaN })
    }
  }

  @Test func everyCodeWidens() {
    let codes = (Int8.min...Int8.max).map { $0 }
    onEveryInstructionSet { level in
      for count in [0, 1, 7, 8, 15, 16, 17, 255, 256] {
        var found = [Float](repeating: 9, count: count + 1)
        decant_i8_to_f32(codes, 0.37, &found, count)
        #expect(found.dropLast().elementsEqual(codes[..<count].map { 0.37 * Float($0) }))
        #expect(found[count] == 9, "level \(level) writes past \(count)")
      }
    }
  }

  @Test func everyNibbleWidens() {
    let bytes = (0...UInt8.max).map { $0 }
    let nibbles = bytes.flatMap { byte -> [Float] in
      [Int(byte & 15), Int(byte >> 4)].map { Float($0 < 8 ? $0 : $0 - 16) }
    }
    onEveryInstructionSet { level in
      for first in 0..<4 {
        for count in [0, 1, 2, 3, 15, 16, 31, 32, 33, 64, 65, 508] {
          var found = [Float](repeating: 9, count: count + 1)
          decant_i4_to_f32(bytes, first, 0.37, &found, count)
          let expected = nibbles[first..<first + count].map { 0.37 * $0 }
          #expect(
            found.dropLast().elementsEqual(expected), "level \(level): \(count) from \(first)")
          #expect(found[count] == 9, "level \(level) writes past \(count)")
        }
      }
    }
  }

  /// Codes of 5 and 6 bits whose low bits are apart, from any place.
  @Test(arguments: [1, 2])
  func everySplitCodeWidens(lowBits: Int) {
    var numbers = Numbers(seed: lowBits)
    let bytes = (0..<300).map { _ in UInt8(truncatingIfNeeded: numbers.bits()) }
    let low = (0..<300).map { _ in UInt8(truncatingIfNeeded: numbers.bits()) }
    let codes = (0..<600).map { index -> Float in
      let nibble = Int(index % 2 == 0 ? bytes[index / 2] & 15 : bytes[index / 2] >> 4)
      let bits = Int(low[index * lowBits / 8]) >> (index * lowBits % 8) & ((1 << lowBits) - 1)
      return Float((nibble < 8 ? nibble : nibble - 16) * (1 << lowBits) + bits)
    }
    onEveryInstructionSet { level in
      for first in 0..<9 {
        for count in [0, 1, 2, 7, 8, 9, 16, 33, 64, 590] {
          var found = [Float](repeating: 9, count: count + 1)
          decant_split_to_f32(bytes, low, Int32(lowBits), first, 0.37, &found, count)
          let expected = codes[first..<first + count].map { 0.37 * $0 }
          #expect(
            found.dropLast().elementsEqual(expected), "level \(level): \(count) from \(first)")
          #expect(found[count] == 9, "level \(level) writes past \(count)")
        }
      }
    }
  }

  @Test func everyWordWidens() {
    let bytes = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    let expected = (0...UInt16.max).map { 0.37 * Float(Int16(bitPattern: $0 &- 128)) }
    onEveryInstructionSet { level in
      for count in [0, 1, 15, 16, 17, 65536] {
        var found = [Float](repeating: 9, count: count + 1)
        decant_i16_to_f32(bytes, 0.37, &found, count)
        #expect(found.dropLast().elementsEqual(expected[..<count]))
        #expect(found[count] == 9, "level \(level) writes past \(count)")
      }
    }
  }

  @Test(arguments: weightEncodings)
  func anyPartOfRowsWidens(_ encoding: TensorEncoding) {
    let weights = randomWeights([5, 131], encoding, seed: 3)
    let all = weights.floats()
    for rows in [0..<0, 0..<5, 1..<3, 4..<5] {
      for columns in [0..<0, 0..<131, 0..<1, 1..<2, 31..<33, 63..<130, 130..<131] {
        var found = [Float](repeating: 0, count: rows.count * columns.count)
        var span = found.mutableSpan
        weights.widen(rows: rows, columns: columns, into: &span)
        let expected = rows.flatMap { row in columns.map { all[row * 131 + $0] } }
        #expect(found == expected, "rows \(rows), columns \(columns)")
      }
    }
  }

  @Test func codesWidenWithTheScaleOfTheirGroup() {
    let scales: [Float16] = [0.5, 2, -1, 4]
    let weights = StoredTensor(
      shape: [2, 3], encoding: .symmetric(bits: 4, groupSize: 2),
      parts: [ByteSlice([0x71, 0x08, 0xf9, 0x02] as [UInt8]), ByteSlice(scales.map(\.bitPattern))])
    #expect(weights.floats() == [0.5, 3.5, -16, 7, 1, 8])
  }
}
