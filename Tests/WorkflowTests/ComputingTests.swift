import Testing
import Workflow

@Suite struct ComputingTests {
  private func check(_ name: String?) throws(JobError) {
    try checkInstructionSet(
      name, names: ["portable", "narrow", "wide"], available: ["portable", "narrow"])
  }

  @Test(arguments: [nil, "", "portable", "narrow"])
  func supportedInstructionSets(name: String?) throws { try check(name) }

  @Test(arguments: [
    ("avx3", "unknown instruction set; expected portable, narrow or wide"),
    ("Narrow", "unknown instruction set; expected portable, narrow or wide"),
    ("wide", "this machine does not support it; supported are portable and narrow"),
  ])
  func unknownAndUnsupportedInstructionSets(name: String, reason: String) {
    #expect(throws: JobError("DECANT_SIMD=\(name): \(reason)")) { try check(name) }
  }
}
