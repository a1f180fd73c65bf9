import Support
import Tensors
import Testing

@Suite struct BytePlanesTests {
  @Test(arguments: [1, 2, 4, 8]) func planesAreTakenCountedAndJoined(planes: Int) {
    for elements in Array(0...40) + [255, 256, 1000] {
      let bytes = (0..<elements * planes).map { UInt8(truncatingIfNeeded: $0 &* $0 &+ $0 / 7) }
      let slice = ByteSlice([9] + bytes)[1..<1 + bytes.count]
      let split = (0..<planes).map { slice.plane($0, of: planes) }
      #expect(
        split
          == (0..<planes).map { plane in
            stride(from: plane, to: bytes.count, by: planes).map { bytes[$0] }
          })
      #expect(joined(planes: split) == bytes)
      var counts = [UInt32](repeating: 0, count: planes * 256)
      for (index, byte) in bytes.enumerated() { counts[index % planes * 256 + Int(byte)] += 1 }
      #expect(slice.byteCounts(planes: planes) == counts)
    }
  }

  @Test func partialNumbersTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = ByteSlice([1, 2, 3] as [UInt8]).plane(0, of: 2)
    }
    await #expect(processExitsWith: .failure) { _ = ByteSlice([1, 2] as [UInt8]).plane(2, of: 2) }
    await #expect(processExitsWith: .failure) {
      _ = ByteSlice([1, 2, 3] as [UInt8]).byteCounts(planes: 3)
    }
    await #expect(processExitsWith: .failure) { _ = joined(planes: [[1], [1, 2]]) }
  }
}
