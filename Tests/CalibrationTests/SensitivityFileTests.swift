import Calibration
import Foundation
import Sampling
import Support
import Tensors
import TestSupport
import Testing

/// The file of sensitivities beside a calibration.
struct SensitivityFileTests {
  private static let measured = Sensitivities(
    calls: [SensitivityTests.call("cat", 0), SensitivityTests.call("dog", 2)],
    units: [
      Sensitivities.Unit(
        name: "block", modules: ["conv_in", "block.linear"], weightCount: 138,
        errors: [0.1, 1.0 / 3]),
      Sensitivities.Unit(name: "other", modules: ["other"], weightCount: 1, errors: [1e-300]),
    ])

  private static func file(
    _ path: String, _ sensitivities: Sensitivities = measured,
    settings: CalibrationSettings = settings
  ) throws -> SensitivityFile {
    let calibration = try calibrator(path, settings: settings).calibrate(
      Array(runs.prefix(3)), on: FakeSubject())
    return SensitivityFile(sensitivities, beside: calibration)
  }

  private static func members(_ path: String) throws -> JSONObject {
    let text = String(decoding: try bytes(path), as: UTF8.self)
    let value = try JSONValue(parsing: text)
    return try #require(value.object)
  }

  /// Every bit of the numbers is kept.
  @Test func isReadAsItIsWritten() throws {
    try withTemporaryFolder { folder in
      let file = try Self.file(folder + "/c")
      #expect(file.path == folder + "/c.sensitivity.json")
      try file.write()
      #expect(try SensitivityFile(path: file.path) == file)
      #expect(SensitivityFile.path(beside: "a.calibration") == "a.calibration.sensitivity.json")
      // It is replaced.
      var changed = file
      changed.sensitivities.units[1].errors.append(2)
      try changed.write()
      #expect(try SensitivityFile(path: file.path) == changed)
    }
  }

  @Test func followsTheSpecification() throws {
    try withTemporaryFolder { folder in
      let file = try Self.file(folder + "/c")
      try file.write()
      let object = try Self.members(file.path)
      #expect(
        object.keys
          == ["format", "version", "model", "settings", "relative_step", "calls", "units"])
      #expect(object["format"] == "decant-sensitivities" && object["version"] == 1)
      #expect(object["model"] == ["component": "unet", "digest": "abc"])
      #expect(
        object["settings"] == [
          "steps": 3, "recorded_steps": 8, "scheduler": "ddim", "guidance_scale": 7.5,
          "sizes": [[64, 64]],
        ])
      #expect(object["relative_step"] == 0.18)
      #expect(
        object["calls"] == [
          [
            "prompt": "cat", "negative_prompt": "", "seed": 0, "width": 64, "height": 64, "step": 0,
          ],
          [
            "prompt": "dog", "negative_prompt": "", "seed": 0, "width": 64, "height": 64, "step": 2,
          ],
        ])
      #expect(
        object["units"]?.array?.first == [
          "name": "block", "modules": ["conv_in", "block.linear"], "weights": 138,
          "errors": [0.1, .number(1.0 / 3)],
        ])
    }
  }

  // MARK: - Refusals

  /// Writes a valid file with changed members, and returns the message of reading it.
  private static func refusal(
    _ folder: String, _ change: (inout JSONObject) throws -> Void
  ) throws -> String {
    let file = try file(folder + "/" + UUID().uuidString)
    try file.write()
    var object = try members(file.path)
    try change(&object)
    let text = JSONValue.object(object).text()
    return try refusal(of: text, in: folder)
  }

  private static func refusal(of text: String, in folder: String) throws -> String {
    let path = folder + "/changed.json"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let error = #expect(throws: CalibrationError.self) { try SensitivityFile(path: path) }
    let description = error?.description ?? ""
    let start = path + ": "
    #expect(description.hasPrefix(start))
    return String(description.dropFirst(start.count))
  }

  private static let call: JSONObject = [
    "prompt": "a", "negative_prompt": "", "seed": 0, "width": 64, "height": 64, "step": 0,
  ]

  private static func call(_ member: String, _ value: JSONValue?) -> JSONValue {
    var object = call
    object[member] = value
    return .object(object)
  }

  private static func unit(_ member: String, _ value: JSONValue?) -> JSONValue {
    var object: JSONObject = ["name": "x", "modules": ["x"], "weights": 1, "errors": [1]]
    object[member] = value
    return .object(object)
  }

  private static let cases: [(member: String, value: JSONValue?, message: String)] = [
    (
      "format", "other",
      "'format' of the sensitivities is \"other\", expected 'decant-sensitivities'"
    ),
    ("version", 2, "'version' of the sensitivities is 2, expected 1"),
    ("extra", 1, "'extra' of the sensitivities is 1, expected no member of this name"),
    ("relative_step", 0.2, "'relative_step' of the sensitivities is 0.2, expected 0.18"),
    ("model", 3, "'model' of the sensitivities is 3, expected an object"),
    (
      "model", ["component": "unet"],
      "'model.digest' of the sensitivities is absent, expected a value"
    ),
    (
      "settings", ["steps": 3],
      "'settings.scheduler' of the sensitivities is absent, expected a value"
    ),
    ("calls", 4, "'calls' of the sensitivities is 4, expected an array"),
    ("calls", [5], "'calls[0]' of the sensitivities is 5, expected an object"),
    (
      "calls", [call("step", nil)],
      "'calls[0].step' of the sensitivities is absent, expected a value"
    ),
    (
      "calls", [call("step", -1)],
      "'calls[0].step' of the sensitivities is -1, expected an integer of at least 0"
    ),
    (
      "calls", [call("seed", "x")],
      "'calls[0].seed' of the sensitivities is \"x\", expected an integer of at least 0"
    ),
    (
      "calls", [call("width", 0)],
      "'calls[0].width' of the sensitivities is 0, expected an integer of at least 1"
    ),
    (
      "calls", [call("timestep", 1)],
      "'calls[0].timestep' of the sensitivities is 1, expected no member of this name"
    ),
    ("units", [:], "'units' of the sensitivities is {}, expected an array"),
    ("units", [[]], "'units[0]' of the sensitivities is [], expected an object"),
    (
      "units", [unit("name", 3)],
      "'units[0].name' of the sensitivities is 3, expected a string"
    ),
    (
      "units", [unit("modules", [])],
      "'units[0].modules' of the sensitivities is [], expected names of layers"
    ),
    (
      "units", [unit("modules", ["a", 1])],
      "'units[0].modules' of the sensitivities is [\"a\",1], expected names of layers"
    ),
    (
      "units", [unit("weights", 0)],
      "'units[0].weights' of the sensitivities is 0, expected an integer of at least 1"
    ),
    (
      "units", [unit("errors", [1, 2, 3])],
      "'units[0].errors' of the sensitivities is [1,2,3], expected at most 2 numbers of at least 0"
    ),
    (
      "units", [unit("errors", [-1])],
      "'units[0].errors' of the sensitivities is [-1], expected at most 2 numbers of at least 0"
    ),
    (
      "units", [unit("errors", ["x"])],
      "'units[0].errors' of the sensitivities is [\"x\"], expected at most 2 numbers of at least 0"
    ),
    (
      "units", [unit("errors", nil)],
      "'units[0].errors' of the sensitivities is absent, expected a value"
    ),
    (
      "units", [unit("more", 1)],
      "'units[0].more' of the sensitivities is 1, expected no member of this name"
    ),
  ]

  @Test(arguments: cases.indices)
  func refusesWrongMembers(index: Int) throws {
    let (member, value, message) = Self.cases[index]
    try withTemporaryFolder { folder in
      let found = try Self.refusal(folder) { $0[member] = value }
      #expect(found == message)
    }
  }

  @Test func refusesEveryAbsentMember() throws {
    try withTemporaryFolder { folder in
      for member in [
        "format", "version", "model", "settings", "relative_step", "calls", "units",
      ] {
        let found = try Self.refusal(folder) { $0[member] = nil }
        #expect(found == "'\(member)' of the sensitivities is absent, expected a value")
      }
    }
  }

  /// Calls are sorted, and each is there once.
  @Test func refusesCallsInAnotherOrder() throws {
    try withTemporaryFolder { folder in
      let (first, second) = (Self.call("step", 1), Self.call("step", 2))
      for calls in [[second, first], [first, first]] {
        let found = try Self.refusal(folder) {
          $0["calls"] = .array(calls)
          $0["units"] = []
        }
        #expect(found.hasPrefix("'calls' of the sensitivities is [{\"prompt\":\"a\","))
        #expect(found.hasSuffix("…, expected sorted calls, none twice"))
      }
    }
  }

  @Test func refusesWhatIsNotJSON() throws {
    try withTemporaryFolder { folder in
      let found = try Self.refusal(of: "{", in: folder)
      #expect(found.hasPrefix("the file of sensitivities is not JSON: "), "\(found)")
      let list = try Self.refusal(of: "[]", in: folder)
      #expect(list == "'format' of the sensitivities is absent, expected a value")
      let path = folder + "/large"
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.truncate(atOffset: 40 << 20)
      let error = #expect(throws: CalibrationError.self) { try SensitivityFile(path: path) }
      #expect(
        error?.description
          == "\(path): more than 33.6 MB, expected a file of sensitivities"
      )
      #expect(throws: FileError.self) { try SensitivityFile(path: folder + "/nothing") }
    }
  }

  // MARK: - Merging

  @Test func mergesTheFilesBesideCalibrations() throws {
    try withTemporaryFolder { folder in
      let (a, b) = (folder + "/a", folder + "/b")
      let merged = try calibrator(folder + "/m").calibrate(runs, on: FakeSubject())
      #expect(try SensitivityFile.merging(beside: [a, b], for: merged) == nil)
      let first = try Self.file(a)
      func complete(_ prompt: String) -> Sensitivities {
        Sensitivities(
          calls: [SensitivityTests.call(prompt, 1)],
          units: [SensitivityTests.unit("x", [1]), SensitivityTests.unit("y", [2])])
      }
      func message() throws -> String {
        let error = #expect(throws: CalibrationError.self) {
          try SensitivityFile.merging(beside: [a, b], for: merged)
        }
        return error?.description ?? ""
      }
      try first.write()
      #expect(
        try message()
          == "\(b).sensitivity.json does not exist, but \(a).sensitivity.json does; sensitivities are "
          + "merged with their calibrations")
      // The first file is incomplete.
      try Self.file(b, complete("cat")).write()
      #expect(
        try message()
          == "\(a).sensitivity.json and \(folder)/m cannot be joined: \(a).sensitivity.json is not "
          + "complete")
      var whole = first
      whole.sensitivities = complete("dog")
      try whole.write()
      let found = try #require(try SensitivityFile.merging(beside: [a, b], for: merged))
      #expect(found.path == folder + "/m.sensitivity.json")
      #expect(found.sensitivities == Sensitivities.merging([complete("cat"), complete("dog")]))
      // Other settings.
      var other = settings
      other.guidanceScale = 3
      try FileManager.default.removeItem(atPath: b)
      try Self.file(b, complete("cat"), settings: other).write()
      #expect(
        try message()
          == "\(b).sensitivity.json and \(folder)/m cannot be joined: the settings differ")
      // A call twice.
      try FileManager.default.removeItem(atPath: b)
      try Self.file(b, complete("dog")).write()
      #expect(
        try message()
          == "\(a).sensitivity.json and \(b).sensitivity.json cannot be joined: their units differ, or "
          + "two of them have the same call")
    }
  }
}
