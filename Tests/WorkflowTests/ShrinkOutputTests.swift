import Foundation
import Packfiles
import Support
import Synchronization
import TestSupport
import Testing
import Workflow

/// When the output of `shrink` gets its name: after the verification.
@Suite struct ShrinkOutputTests {
  func shrink(
    _ path: String, type: String = "int8", replacing: Bool = false, calibrates: Bool = false,
    verification: VerificationRequest? = smallVerification
  ) -> ShrinkJob {
    let quantization =
      calibrates
      ? QuantizationRequest(type: type) : QuantizationRequest(type: type, method: "round")
    return ShrinkJob(
      model: tiny, reading: InputOptions(), output: OutputRequest(path: path, replacing: replacing),
      cut: nil, quantization: quantization, calibration: nil, calibrating: smallCalibration,
      verification: verification, report: nil)
  }

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test(arguments: ["a.decant", "a.safetensors", "a/"])
  func theOutputAppearsAfterItsVerification(name: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/" + name
      let before = Mutex<Bool?>(nil)
      let type = name == "a.decant" ? "int8" : "f16"
      let out = try await shrink(path, type: type).run { event in
        if case .stage(.verifying(let candidate, _)) = event {
          #expect(candidate == PathParts(name).name)
          before.withLock { $0 = FileManager.default.fileExists(atPath: path) }
        }
      }
      #expect(before.withLock { $0 } == false)
      #expect(try names(folder) == [PathParts(name).name])
      // The file is measured where it was verified.
      let compared = try #require(out.verification).json["compared"]?.array?.first
      #expect((compared?["file_bytes"]?.integer ?? 0) > 100_000)
      #expect(out.written.bytesOfOutput > 100_000)
    }
  }

  @Test(arguments: ["a.decant", "a"])
  func theOldOutputStaysUntilThen(name: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/" + name
      _ = try await shrink(path, type: "f16", verification: nil).run()
      let old = try contents(path)
      let during = Mutex<[String: Data]?>(nil)
      _ = try await shrink(path, type: "bf16", replacing: true).run { event in
        if case .stage(.verifying) = event { during.withLock { $0 = try? contents(path) } }
      }
      #expect(during.withLock { $0 } == old)
      #expect(try contents(path) != old)
      #expect(try names(folder) == [name])
    }
  }

  /// Exit code 1: the model stays, and its record says that it does not meet its thresholds.
  @Test func aMissedThresholdKeepsTheModel() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      for (least, isMet) in [(300.0, false), (-300.0, true)] {
        var verification = smallVerification
        verification.minimumPSNR = least
        let out = try await shrink(
          path, type: "int4-g32", replacing: true, verification: verification
        ).run()
        let verified = try #require(out.verification)
        if isMet {
          try verified.check()
        } else {
          #expect(throws: CheckNotMet.self) { try verified.check() }
        }
        #expect(try PackfileReader(path: path).parity?["met"] == .bool(isMet))
      }
    }
  }

  /// No memory is left once the model is written, so that its verification fails.
  private final class Shrinking: MachineMemory {
    private let isFull = Mutex(false)

    func fill() { isFull.withLock { $0 = true } }

    var freeBytes: Int? { isFull.withLock { $0 } ? 0 : nil }
  }

  @Test(arguments: ["a.decant", "a"])
  func aFailedVerificationLeavesNoModel(name: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/" + name
      let log = EventLog()
      let machine = Shrinking()
      let job = shrink(path, type: name == "a" ? "f16" : "int8", calibrates: name != "a")
      await #expect(throws: MemoryError.self) {
        try await FreeMemory.$machine.withValue(machine) {
          _ = try await job.run { event in
            log.add(event)
            if case .stage(.writing) = event { machine.fill() }
          }
        }
      }
      #expect(log.notes.contains("the verification failed, and \(path) is not written"))
      let left = try names(folder)
      #expect(left == (name == "a" ? [] : ["a.decant.calibration"]))
    }
  }

  @Test func withoutAVerificationTheModelIsWrittenAtOnce() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      let log = EventLog()
      let out = try await shrink(path, verification: nil).run(log.add)
      #expect(!log.stages.contains { if case .verifying = $0 { true } else { false } })
      #expect(out.verification == nil && out.json["verification"] == .null)
      #expect(!out.text.contains("PSNR"))
      #expect(try PackfileReader(path: path).parity == nil)
      #expect(try names(folder) == ["a.decant"])
    }
  }
}

extension ShrinkOutputTests {
  /// The steps of the calibration are compared, and the reference runs only for images.
  @Test func theCallsOfTheCalibrationAreUsedAgain() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      let log = EventLog()
      let out = try await shrink(path, calibrates: true).run(log.add)
      // One recorded step. The image takes three calls, as PNDM has for two steps, and the recorded
      // call is repeated for the outputs of blocks.
      #expect(
        log.notes.contains(
          "the verification takes 4 calls of the reference and 4 of the candidate, and "
            + "makes 1 image of 16x16 with each model; the calls of the calibration are used again")
      )
      let json = try #require(out.json.object)
      #expect(json.keys == ["written", "verdict", "errors", "verification"])
      let verified = try #require(json["verification"]?.object)
      #expect(json["verdict"] == verified["verdict"] && json["verdict"]?.string != nil)
      #expect(json["errors"] == verified["errors"])
      #expect(json["errors"]?.object?["guided"]?.object?["mean"]?.number != nil)
      let calls = try #require(verified["calls"]?.object)
      #expect(calls["of"] == "calibration" && calls["count"] == 1)
      // The file keeps them too.
      let parity = try #require(try PackfileReader(path: path).parity)
      #expect(parity["verdict"] == json["verdict"])
      #expect(parity["met"] == .null)
      let result = try #require(parity["results"]?.array?.first?.object)
      #expect(result["errors"] == json["errors"])
      #expect(parity["command"] == nil)
    }
  }
}
