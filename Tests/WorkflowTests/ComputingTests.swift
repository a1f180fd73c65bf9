import Testing
import Workflow

@Suite struct ComputingTests {
  private func check(_ asked: String?) throws(JobError) {
    try checkInstructionSet(
      asked, names: ["portable", "narrow", "wide"], available: ["portable", "narrow"])
  }

  @Test(arguments: [nil, "", "portable", "narrow"])
  func instructionSetsOfThisMachine(asked: String?) throws { try check(asked) }

  @Test(arguments: [
    ("avx3", "there is no such instruction set; known are portable, narrow and wide"),
    ("Narrow", "there is no such instruction set; known are portable, narrow and wide"),
    ("wide", "this machine has not got it; it has portable and narrow"),
  ])
  func instructionSetsThatCannotBeHad(asked: String, reason: String) {
    #expect(throws: JobError("DECANT_SIMD=\(asked): \(reason)")) { try check(asked) }
  }
}
