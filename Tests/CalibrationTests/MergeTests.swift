import Calibration
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

struct MergeTests {
  static func file(
    _ path: String, _ runs: [CalibrationRun], settings: CalibrationSettings = settings,
    model: CalibratedModel = model, bands: TimestepBands = TimestepBands()
  ) throws -> CalibrationFile {
    try calibrator(path, model: model, settings: settings, bands: bands)
      .calibrate(runs, on: FakeSubject())
  }

  @Test func mergingGivesTheBytesOfOneCalibration() throws {
    try withTemporaryFolder { folder in
      _ = try Self.file(folder + "/all", runs)
      let parts = try [[0, 3], [1], [2, 4]].enumerated().map { index, places in
        try Self.file(folder + "/part\(index)", places.map { runs[$0] })
      }
      for (index, order) in [[0, 1, 2], [2, 0, 1], [1, 2, 0]].enumerated() {
        let path = folder + "/merged\(index)"
        let merged = try CalibrationFile.merging(
          order.map { parts[$0] }, path: path, tool: "x")
        try merged.write(replacing: false)
        #expect(try bytes(path) == bytes(folder + "/all"))
      }
      // In two steps.
      let pair = try CalibrationFile.merging([parts[2], parts[1]], path: "pair", tool: "x")
      let merged = try CalibrationFile.merging(
        [pair, parts[0]], path: folder + "/steps", tool: "x")
      try merged.write(replacing: false)
      #expect(try bytes(folder + "/steps") == bytes(folder + "/all"))
    }
  }

  @Test func mergingFilesOfDifferentProgramsNamesItsOwn() throws {
    try withTemporaryFolder { folder in
      let a = try Self.file(folder + "/a", [runs[0]])
      var b = try Self.file(folder + "/b", [runs[1]])
      b.tool = "decant test (int8)"
      #expect(try CalibrationFile.merging([a, b], path: "c", tool: "x").tool == "x")
    }
  }

  static func message(_ files: [CalibrationFile]) -> String? {
    let error = #expect(throws: CalibrationError.self) {
      try CalibrationFile.merging(files, path: "c", tool: "x")
    }
    return error?.description
  }

  @Test func refusesSharedRuns() throws {
    try withTemporaryFolder { folder in
      let (a, b) = (folder + "/a", folder + "/b")
      let files = [
        try Self.file(a, [runs[0], runs[1], runs[2]]),
        try Self.file(b, [runs[2], runs[1], runs[3]]),
      ]
      #expect(
        Self.message(files)
          == "\(a) and \(b) cannot be merged, because both contain the run of 'cat' with seed 0 and 1 "
          + "more")
    }
  }

  /// A run that any two of three files share is found, wherever the two stand.
  @Test(arguments: [(0, 1), (0, 2), (1, 2)])
  func refusesASharedRunOfAnyTwoOfThree(first: Int, second: Int) throws {
    try withTemporaryFolder { folder in
      var parts = [[runs[0]], [runs[1]], [runs[2]]]
      parts[first].append(runs[3])
      parts[second].append(runs[3])
      let files = try parts.enumerated().map { index, part in
        try Self.file(folder + "/\(index)", part)
      }
      #expect(
        Self.message(files)
          == "\(folder)/\(first) and \(folder)/\(second) cannot be merged, because both contain the "
          + "run of 'bird' with seed 0")
    }
  }

  @Test(arguments: [0, 1, 2])
  func refusesOneOfThreeThatDiffersOrIsIncomplete(place: Int) throws {
    try withTemporaryFolder { folder in
      var other = settings
      other.steps = 7
      var files = try (0..<3).map { try Self.file(folder + "/\($0)", [runs[$0]]) }
      files[place] = try Self.file(folder + "/other", [runs[place]], settings: other)
      #expect(
        Self.message(files)?.contains("cannot be merged, because they differ in steps") == true)
      files[place] = try Self.file(folder + "/part", [runs[place]])
      files[place].isComplete = false
      #expect(
        Self.message(files)
          == "\(folder)/part: the calibration is incomplete; it was interrupted after 1 run")
    }
  }

  @Test func refusesFilesThatDiffer() throws {
    try withTemporaryFolder { folder in
      let a = try Self.file(folder + "/a", [runs[0]])
      var other = settings
      other.guidanceScale = 5
      let cases: [(CalibrationFile, String)] = [
        (
          try Self.file(folder + "/b", [runs[1]], settings: other),
          "the guidance scale (7.5 and 5.0)"
        ),
        (
          try Self.file(folder + "/c", [runs[1]], model: CalibratedModel(digest: "z")),
          "the model's digest (abc and z)"
        ),
        (
          try Self.file(folder + "/d", [runs[1]], bands: TimestepBands(count: 2)),
          "the timestep bands ([0, 250, 500, 750, 1000] and [0, 500, 1000])"
        ),
      ]
      for (file, what) in cases {
        #expect(
          Self.message([a, file])
            == "\(folder)/a and \(file.path) cannot be merged, because they differ in \(what)")
      }
    }
  }

  @Test func refusesOtherModules() throws {
    try withTemporaryFolder { folder in
      let a = try Self.file(folder + "/a", [runs[0]])
      let others = modules.map {
        $0.name == "conv_in" ? module("conv_inn", .convolution, [4, 3, 3, 3]) : $0
      }
      let b = try CalibratorTests.renamed(folder + "/b", modules: others)
      #expect(
        Self.message([a, b])
          == "\(folder)/a and \(folder)/b cannot be merged, because they differ in the modules "
          + "(conv_in and conv_inn)")
      let error = #expect(throws: CalibrationError.self) { try b.check(against: modules) }
      #expect(
        error?.description
          == "\(folder)/b: the calibration belongs to another model: it lacks 'conv_in'; the model "
          + "lacks 'conv_inn'")
      #expect(error?.remedy == .recalibrate)
    }
  }

  @Test func refusesOneFileAndUnfinishedOnes() throws {
    try withTemporaryFolder { folder in
      let a = try Self.file(folder + "/a", [runs[0]])
      #expect(Self.message([a]) == "merging needs at least two calibrations, found 1")
      var b = try Self.file(folder + "/b", [runs[1]])
      b.isComplete = false
      #expect(
        Self.message([a, b])
          == "\(folder)/b: the calibration is incomplete; it was interrupted after 1 run")
    }
  }
}

extension CalibratorTests {
  /// A calibration whose modules have other names.
  static func renamed(_ path: String, modules: [ModuleSpec]) throws -> CalibrationFile {
    struct Renaming: CalibrationSubject {
      let names: [String]
      var callsPerRun: Int { 1 }
      func perform(_ run: CalibrationRun, observedBy collector: StatisticsCollector) throws
        -> [ReferenceCall]
      {
        collector.begin(timestep: 0, branches: [.conditional])
        collector.willRun(module: names[0], input: Tensor(zeros: [1, 3, 2, 2]))
        return []
      }
    }
    return try calibrator(path, modules: modules)
      .calibrate([runs[1]], on: Renaming(names: modules.map(\.name)))
  }
}
