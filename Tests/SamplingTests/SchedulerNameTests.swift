import Sampling
import Testing

/// The names by which users find a scheduler.
@Suite("Names of schedulers")
struct SchedulerNameTests {
  /// Names in other programs, by scheduler.
  static let otherNames: [(name: String, others: [String])] = [
    ("pndm", ["PNDM", "PLMS", "plms", "PNDMScheduler"]),
    ("ddim", ["DDIM", "DDIMScheduler"]),
    (
      "euler", ["Euler", "k_euler", "EulerDiscreteScheduler", "EulerScheduler", "euler_discrete"]
    ),
    (
      "euler-a",
      [
        "Euler a", "euler_a", "eulera", "euler_ancestral", "Euler Ancestral", "k_euler_a",
        "k_euler_ancestral", "EulerAncestralDiscreteScheduler",
      ]
    ),
    (
      "dpm++2m",
      [
        "DPM++ 2M", "dpm++ 2m", "dpm++_2m", "dpmpp_2m", "dpmpp-2m", "dpmpp2m", "k_dpmpp_2m",
        "DPMSolverMultistepScheduler", "DPM-Solver++(2M)", "DPMSolver++",
      ]
    ),
    (
      "dpm++2m-karras",
      [
        "DPM++ 2M Karras", "dpm++ 2m karras", "dpmpp_2m_karras", "dpmpp_2m_k", "k_dpmpp_2m_ka",
      ]
    ),
    ("lcm", ["LCM", "k_lcm", "LCMScheduler"]),
  ]

  @Test("of other programs are accepted", arguments: otherNames)
  func others(name: String, others: [String]) throws {
    for other in [name, name.uppercased()] + others {
      #expect(try Schedulers.named(other).name == name, "\(other)")
    }
  }

  @Test("of other programs are listed for every scheduler")
  func completeness() {
    #expect(Set(Self.otherNames.map(\.name)) == Set(Schedulers.all.map(\.name)))
  }

  @Test("find one scheduler each")
  func uniqueness() throws {
    var seen: Set<String> = []
    for kind in Schedulers.all {
      // A class name is not unique: two schedulers may have the same class.
      for name in [kind.name, kind.title] + kind.aliases {
        #expect(try Schedulers.named(name).name == kind.name, "\(name)")
      }
      for alias in kind.aliases { #expect(seen.insert(alias).inserted, "\(alias)") }
    }
  }

  @Test(
    "that are almost right are suggested",
    arguments: [
      ("eulr", "euler"), ("euler_b", "euler"), ("ddmi", nil), ("ddpm", "ddim"),
      ("dpm2m", "dpm++2m"), ("DPM++ 2M Kerras", "dpm++2m-karras"), ("HeunDiscreteScheduler", nil),
      ("pmls", nil), ("LMC", nil), ("EulerDiscreetScheduler", "euler"), ("unipc", nil),
      ("uni_pc", nil), ("heun", nil), ("", nil), ("++", nil),
    ] as [(String, String?)])
  func suggestions(name: String, similar: String?) {
    let known = Schedulers.all.map(\.name)
    #expect(throws: SchedulerError.unknownName(name, similar: similar, known: known)) {
      try Schedulers.named(name)
    }
  }

  @Test("are all in the message, with the suggestion")
  func message() {
    let error = SchedulerError.unknownName("eulr", similar: "euler", known: ["ddim", "euler"])
    #expect(
      error.description
        == "scheduler 'eulr' is unknown (did you mean 'euler'?); expected ddim or euler"
    )
  }
}
