import Support
import Tensors
import Testing

private func bits16(_ tensor: StoredTensor) -> [UInt16] {
  let bytes = tensor.parts[0].array
  return stride(from: 0, to: bytes.count, by: 2).map {
    UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8
  }
}

struct NarrowingTests {
  /// Numbers at and near every midpoint between two half floats, compared with Swift's rounding.
  @Test func halvesRoundToNearestEven() {
    var values: [Float] = []
    for code in stride(from: UInt16(0), to: 0x7c00, by: 1) {
      let value = Float(Float16(bitPattern: code))
      let next = Float(
        Float16(bitPattern: code + 1).isFinite ? Float16(bitPattern: code + 1) : 65504)
      let middle = (value + next) / 2
      values += [value, middle.nextDown, middle, middle.nextUp, -middle]
    }
    values += [65519, 65520, 1e6, -1e6, .infinity, -.infinity, .leastNonzeroMagnitude, 0, -0.0]
    let narrowed = bits16(StoredTensor(shape: [values.count], floats: values, as: .f16))
    #expect(narrowed == values.map { Float16($0).bitPattern })
  }

  /// Numbers that a kind must hold are refused with the reason.
  @Test func numbersThatAKindDoesNotHoldAreRefused() throws {
    func narrowed(_ value: Float, _ kind: ElementKind) throws(NarrowingError) -> [Float] {
      try StoredTensor(shape: [2], floats: [1, value]).narrowed(to: kind).floats()
    }
    #expect(try narrowed(65504, .f16) == [1, 65504])
    #expect(throws: NarrowingError.overflows(limit: 65504)) { try narrowed(1e6, .f16) }
    #expect(throws: NarrowingError.nonfinite) { try narrowed(.nan, .f16) }
    #expect(throws: NarrowingError.nonfinite) { try narrowed(-.infinity, .f32) }
    #expect(throws: NarrowingError.overflows(limit: ElementKind.bf16.largestMagnitude)) {
      try narrowed(.greatestFiniteMagnitude, .bf16)
    }
    #expect(try narrowed(1e6, .f32) == [1, 1e6])
  }

  @Test func everyHalfRoundTrips() {
    let codes = (0...UInt16.max).filter { !Float16(bitPattern: $0).isNaN }
    let values = codes.map { Float(Float16(bitPattern: $0)) }
    #expect(bits16(StoredTensor(shape: [values.count], floats: values, as: .f16)) == codes)
  }

  @Test(
    arguments: [
      (Float(1), 0x3f80), (1.00390625, 0x3f80), (1.01171875, 0x3f82), (-0.0, 0x8000),
      (.greatestFiniteMagnitude, 0x7f80), (.infinity, 0x7f80), (-.infinity, 0xff80),
      (.leastNonzeroMagnitude, 0x0000), (Float(bitPattern: 0x8000), 0x0000),
      (Float(bitPattern: 0x8001), 0x0001), (Float(bitPattern: 0x18000), 0x0002),
    ] as [(Float, UInt16)])
  func brainFloatsRoundToNearestEven(value: Float, code: UInt16) {
    #expect(bits16(StoredTensor(shape: [1], floats: [value], as: .bf16)) == [code])
  }

  @Test func notANumberIsKept() {
    let nan = Float(bitPattern: 0x7f80_0001)
    for kind in [ElementKind.f16, .bf16, .f32] {
      for count in [1, 9] {
        let tensor = StoredTensor(
          shape: [count], floats: [Float](repeating: nan, count: count), as: kind)
        #expect(tensor.floats().allSatisfy { $0.isNaN })
        #expect(tensor.hasNonfinite)
      }
    }
  }

  @Test func otherKindsTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = StoredTensor(shape: [1], floats: [1], as: .i8)
    }
  }
}

struct NonfiniteTests {
  @Test(arguments: [ElementKind.f32, .f16, .bf16])
  func isFoundAtEveryPosition(kind: ElementKind) {
    for bad in [Float.nan, .infinity, -.infinity] {
      for position in [0, 7, 8, 30] {
        var values = [Float](repeating: 1, count: 31)
        #expect(!StoredTensor(shape: [31], floats: values, as: kind).hasNonfinite)
        values[position] = bad
        #expect(StoredTensor(shape: [31], floats: values, as: kind).hasNonfinite)
        let found = containsNonfinite(values.span)
        #expect(found)
      }
    }
  }

  /// The last row of a tensor that takes more than one run.
  @Test func isFoundInTheLastRun() {
    var values = [Float](repeating: 0, count: 3 << 18)
    values[values.count - 1] = .nan
    #expect(StoredTensor(shape: [3 << 8, 1 << 10], floats: values, as: .f16).hasNonfinite)
  }

  @Test func eightBitKindsAndDoubles() {
    func has(_ kind: ElementKind, _ bytes: [UInt8]) -> Bool {
      StoredTensor(
        shape: [bytes.count / (kind.bitWidth / 8)], encoding: .plain(kind),
        parts: [ByteSlice(bytes)]
      ).hasNonfinite
    }
    #expect(has(.f8e4m3, [0, 0x7f]))
    #expect(!has(.f8e4m3, [0, 0x7e]))
    #expect(has(.f8e5m2, [0x7c]))
    #expect(has(.f8e8m0, [0xff]))
    #expect(has(.f64, [0, 0, 0, 0, 0, 0, 0xf0, 0x7f]))
    #expect(!has(.u8, [0xff]))
    #expect(!has(.i32, [0xff, 0xff, 0xff, 0x7f]))
  }

  @Test func scalesOfQuantizedTensors() {
    func has(_ scales: [Float]) -> Bool {
      StoredTensor(
        shape: [2, 1], encoding: .int8, parts: [ByteSlice([1, 2] as [Int8]), ByteSlice(scales)]
      ).hasNonfinite
    }
    #expect(!has([1, 2]))
    #expect(has([1, .infinity]))
    let grouped = StoredTensor(
      shape: [1, 2], encoding: .symmetric(bits: 8, groupSize: 1),
      parts: [ByteSlice([1, 2] as [Int8]), ByteSlice([0x3c00, 0x7e00] as [UInt16])])
    #expect(grouped.hasNonfinite)
  }
}
