import Foundation
import Packfiles
import Tensors
import Testing

@Suite struct SpeedTemp {
  @Test(.enabled(if: ProcessInfo.processInfo.environment["SPEED"] != nil)) func speed() throws {
    func cpu() -> Double { var t = timespec(); clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9 }
    var randoms = Randoms(seed: 1)
    let one = (0..<4_000_000).map { _ in randoms.gaussian() * 0.03 }
    let floats = (0..<4).flatMap { _ in one }
    for (name, tensor) in [
      ("f32", StoredTensor(shape: [4000, 4000], floats: floats, as: .f32)),
      ("f16", StoredTensor(shape: [4000, 4000], floats: floats, as: .f16)),
      ("bf16", StoredTensor(shape: [4000, 4000], floats: floats, as: .bf16)),
      ("int8", StoredTensor(shape: [4000, 4000], encoding: .int8, parts: [ByteSlice(floats.map { Int8(max(-127, min(127, ($0 / 0.03 * 127 / 4).rounded()))) }), ByteSlice([Float](repeating: 1, count: 4000))])),
    ] {
      let raw = tensor.parts.reduce(0) { $0 + $1.count }
      let path = "/dev/shm/speed.decant"
      var best = (1e9, 1e9, 1e9, 1e9)
      var size = 0
      let threads = Int(ProcessInfo.processInfo.environment["SPEED"]!)!
      for _ in 0..<5 {
        var t = cpu()
        let model = Samples.model([("a", tensor)])
        try PackfileWriter(threads: threads).write(model, to: path, replacing: true) { _, _ in }
        best.0 = min(best.0, cpu() - t)
        t = cpu()
        try PackfileWriter(codes: false, threads: threads).write(model, to: path + "0", replacing: true) { _, _ in }
        best.3 = min(best.3, cpu() - t)
        let reader = try PackfileReader(path: path, threads: threads)
        size = reader.byteCount
        let weights = try reader.model().components[0].weights
        t = cpu()
        let w = Date()
        let back = try weights.tensor("a")
        best.1 = min(best.1, cpu() - t)
        if threads > 1 { print("wall", Double(raw) / -w.timeIntervalSinceNow / 1e6) }
        #expect(back.parts[0].array == tensor.parts[0].array)
        t = cpu()
        try reader.check { _, _ in }
        best.2 = min(best.2, cpu() - t)
      }
      func mb(_ s: Double) -> Int { Int(Double(raw) / s / 1e6) }
      print(name, "raw", raw, "size", size, "write", mb(best.0), "(uncoded", mb(best.3), ") read", mb(best.1), "check", mb(best.2))
    }
  }
}
