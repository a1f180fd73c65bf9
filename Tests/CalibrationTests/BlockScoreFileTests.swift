import Calibration
import Foundation
import Support
import TestSupport
import Testing

/// The file of block scores beside a calibration.
struct BlockScoreFileTests {
  private static let measured = Sensitivities(
    calls: [SensitivityTests.call("cat", 0), SensitivityTests.call("dog", 2)],
    units: [
      Sensitivities.Unit(
        name: "a", modules: ["a", "b.attentions.0"], weightCount: 12, errors: [0.25, 1.0 / 3]),
      Sensitivities.Unit(name: "mid_block", modules: ["mid_block"], weightCount: 7, errors: []),
    ])

  private static func file(_ path: String) throws -> SensitivityFile {
    let calibration = try calibrator(path).calibrate(Array(runs.prefix(3)), on: FakeSubject())
    var file = SensitivityFile(measured, to: .removal, beside: calibration)
    file.sets = [
      .init(drops: ["mid_block", "a"], calls: 2, error: 1.0 / 7),
      .init(drops: ["mid_block", "a"], calls: 9, error: 0.5),
    ]
    return file
  }

  private static func members(_ path: String) throws -> JSONObject {
    let value = try JSONValue(parsing: String(decoding: try bytes(path), as: UTF8.self))
    return try #require(value.object)
  }

  @Test func isReadAsItIsWritten() throws {
    try withTemporaryFolder { folder in
      let file = try Self.file(folder + "/c")
      #expect(file.path == folder + "/c.blocks.json")
      try file.write()
      let read = try SensitivityFile(path: file.path, of: .removal)
      #expect(read == file)
      #expect(read.error(ofDropping: ["a", "mid_block"], calls: 2) == 1.0 / 7)
      #expect(read.error(ofDropping: ["mid_block", "a"], calls: 9) == 0.5)
      #expect(read.error(ofDropping: ["a"], calls: 2) == nil)
      #expect(read.error(ofDropping: ["a", "mid_block"], calls: 3) == nil)
    }
  }

  @Test func followsTheSpecification() throws {
    try withTemporaryFolder { folder in
      let file = try Self.file(folder + "/c")
      try file.write()
      let object = try Self.members(file.path)
      #expect(
        object.keys == ["format", "version", "model", "settings", "calls", "units", "sets"])
      #expect(object["format"] == "decant-blocks" && object["version"] == 1)
      #expect(
        object["units"] == [
          [
            "name": "a", "blocks": ["a", "b.attentions.0"], "parameters": 12,
            "errors": [0.25, .number(1.0 / 3)],
          ],
          ["name": "mid_block", "blocks": ["mid_block"], "parameters": 7, "errors": []],
        ])
      #expect(
        object["sets"] == [
          ["drops": ["a", "mid_block"], "calls": 2, "error": .number(1.0 / 7)],
          ["drops": ["a", "mid_block"], "calls": 9, "error": 0.5],
        ])
    }
  }

  private static let cases: [(member: String, value: JSONValue?, message: String)] = [
    (
      "format", "decant-sensitivities",
      "'format' of the block scores is \"decant-sensitivities\", expected 'decant-blocks'"
    ),
    (
      "relative_step", 0.18,
      "'relative_step' of the block scores is 0.18, expected no member of this name"
    ),
    ("sets", nil, "'sets' of the block scores is absent, expected a value"),
    ("sets", 3, "'sets' of the block scores is 3, expected an array"),
    (
      "sets", [["drops": [], "calls": 1, "error": 0]],
      "'sets[0].drops' of the block scores is [], expected names of blocks"
    ),
    (
      "sets", [["drops": ["a"], "calls": 0, "error": 0]],
      "'sets[0].calls' of the block scores is 0, expected an integer of at least 1"
    ),
    (
      "sets", [["drops": ["a"], "calls": 1, "error": -1]],
      "'sets[0].error' of the block scores is -1, expected a number of at least 0"
    ),
    (
      "units", [["name": "a", "blocks": [1], "parameters": 1, "errors": []]],
      "'units[0].blocks' of the block scores is [1], expected names of blocks"
    ),
    (
      "units", [["name": "a", "blocks": ["a"], "parameters": 0, "errors": []]],
      "'units[0].parameters' of the block scores is 0, expected an integer of at least 1"
    ),
    (
      "units", [["name": "a", "modules": ["a"], "weights": 1, "errors": []]],
      "'units[0].modules' of the block scores is [\"a\"], expected no member of this name"
    ),
  ]

  @Test(arguments: cases.indices)
  func refusesWrongMembers(index: Int) throws {
    let (member, value, message) = Self.cases[index]
    try withTemporaryFolder { folder in
      let file = try Self.file(folder + "/c")
      try file.write()
      var object = try Self.members(file.path)
      object[member] = value
      let text = JSONValue.object(object).text()
      try text.write(toFile: file.path, atomically: true, encoding: .utf8)
      let error = #expect(throws: CalibrationError.self) {
        try SensitivityFile(path: file.path, of: .removal)
      }
      #expect(error?.description == "\(file.path): \(message)")
    }
  }

  /// Joint errors of parts are not those of the whole.
  @Test func mergingKeepsNoSets() throws {
    try withTemporaryFolder { folder in
      let (a, b) = (folder + "/a", folder + "/b")
      let merged = try calibrator(folder + "/m").calibrate(runs, on: FakeSubject())
      func complete(_ prompt: String) -> Sensitivities {
        Sensitivities(
          calls: [SensitivityTests.call(prompt, 1)], units: [SensitivityTests.unit("x", [1])])
      }
      for (path, prompt) in [(a, "cat"), (b, "dog")] {
        var file = try Self.file(path)
        file.sensitivities = complete(prompt)
        try file.write()
      }
      let found = try SensitivityFile.merging(beside: [a, b], to: .removal, for: merged)
      #expect(found?.path == folder + "/m.blocks.json" && found?.sets.isEmpty == true)
      #expect(found?.sensitivities == Sensitivities.merging([complete("cat"), complete("dog")]))
      #expect(try SensitivityFile.merging(beside: [a, b], for: merged) == nil)
      try FileManager.default.removeItem(atPath: b + ".blocks.json")
      let error = #expect(throws: CalibrationError.self) {
        try SensitivityFile.merging(beside: [a, b], to: .removal, for: merged)
      }
      #expect(
        error?.description
          == "\(b).blocks.json does not exist, but \(a).blocks.json does; block scores are merged with "
          + "their calibrations")
    }
  }

  /// For each step the root of the mean over calls, then the mean over steps.
  @Test func relativeErrorsAreMeansOverSteps() {
    let calls = [
      SensitivityTests.call("a", 0), SensitivityTests.call("a", 1), SensitivityTests.call("b", 0),
      SensitivityTests.call("b", 1),
    ]
    let found = Sensitivities(
      calls: calls,
      units: [
        SensitivityTests.unit("x", [0.01, 0.25, 0.07, 0.25]),
        SensitivityTests.unit("y", [0, 0, 0, 0]),
      ])
    #expect(found.relativeErrors.map { ($0 * 1e9).rounded() / 1e9 } == [0.35, 0])
    let partial = Sensitivities(calls: calls, units: [SensitivityTests.unit("x", [0.01])])
    #expect(partial.relativeErrors.isEmpty)
  }
}
