import Calibration
import Checkpoints
import Foundation
import Kernels
import ModelSources
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

struct FileTests {
  /// Writes a valid calibration with changed metadata or tensors.
  static func changed(
    _ folder: String, metadata change: (inout JSONObject) -> Void = { _ in },
    tensors: (inout [(String, StoredTensor)]) -> Void = { _ in }
  ) throws -> String {
    let valid = folder + "/valid-\(UUID().uuidString)"
    _ = try calibrator(valid).calibrate([runs[0]], on: FakeSubject())
    let file = try SafetensorsFile(path: valid)
    let text = try #require(file.metadata["decant.calibration"])
    var object = try #require(JSONValue(parsing: text).object)
    change(&object)
    var all = try file.names.map { ($0, try file.tensor($0)) }
    tensors(&all)
    let path = folder + "/changed"
    try writeSafetensors(
      MemorySource(location: path, all),
      metadata: ["decant.calibration": JSONValue.object(object).text()], to: path)
    return path
  }

  static func refusal(_ path: String) -> String? {
    let error = #expect(throws: CalibrationError.self) { try CalibrationFile(path: path) }
    return error?.description
  }

  @Test func followsTheSpecification() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c.safetensors"
      let file = try calibrator(path).calibrate([runs[0], runs[1]], on: FakeSubject())
      let tensors = try SafetensorsFile(path: path)
      // The second call of each run has no unconditional prediction.
      let callNames = (0..<6).flatMap { index in
        ["conditional", "input"].map { "calls.\(index).\($0)" }
          + (index % 3 == 1 ? [] : ["calls.\(index).unconditional"])
      }
      #expect(
        tensors.names.sorted()
          == ["energy", "histogram", "maximum", "positions"].map { "block.linear.\($0)" }
          + callNames
          + ["energy", "histogram", "maximum", "positions"].map { "conv_in.\($0)" })
      func entry(_ name: String) -> TensorEntry? { tensors.entry(name) }
      #expect(entry("conv_in.maximum") == TensorEntry(shape: [4, 2, 3], encoding: .plain(.f32)))
      #expect(entry("conv_in.energy") == TensorEntry(shape: [4, 2, 3, 2], encoding: .plain(.u64)))
      #expect(entry("conv_in.positions") == TensorEntry(shape: [4, 2], encoding: .plain(.u64)))
      #expect(
        entry("conv_in.histogram") == TensorEntry(shape: [4, 2, 322], encoding: .plain(.u64)))

      // The mean square, computed as the specification says.
      let words = try tensors.tensor("block.linear.energy").parts[0].words
      let positions = try tensors.tensor("block.linear.positions").parts[0].words
      let seen = Double(positions.reduce(0, +))
      let expected = try #require(file.statistics["block.linear"]?.meanSquares())
      for channel in 0..<5 {
        let sum = (0..<8).reduce(0.0) { sum, cell in
          let place = (cell * 5 + channel) * 2
          return sum + Double(words[place]) + Double(words[place + 1]) * 0x1p-64
        }
        #expect(abs(sum / seen - expected[channel]) < 1e-12 * expected[channel])
      }

      let text = try #require(tensors.metadata["decant.calibration"])
      let metadata = try #require(try JSONValue(parsing: text).object)
      #expect(
        metadata.keys == [
          "version", "tool", "complete", "model", "settings", "bands", "passes", "histogram",
          "modules", "runs", "calls",
        ])
      #expect(metadata["version"] == 2)
      #expect(metadata["complete"] == true)
      #expect(metadata["model"] == ["component": "unet", "digest": "abc"])
      #expect(
        metadata["settings"] == [
          "steps": 3, "recorded_steps": 8, "scheduler": "ddim", "guidance_scale": 7.5,
          "sizes": [[64, 64]],
        ])
      #expect(metadata["modules"] == ["conv_in", "block.linear"])
      #expect(
        metadata["runs"] == [
          ["prompt": "cat", "negative_prompt": "", "seed": 1, "width": 64, "height": 64],
          ["prompt": "dog", "negative_prompt": "", "seed": 0, "width": 64, "height": 64],
        ])
    }
  }

  @Test func keepsCalls() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      let file = try calibrator(path).calibrate([runs[0], runs[1]], on: FakeSubject())
      #expect(file.calls.map(\.step) == [0, 1, 2, 0, 1, 2])
      #expect(file.calls.map(\.run.prompt) == ["cat", "cat", "cat", "dog", "dog", "dog"])
      #expect(try CalibrationFile(path: path) == file)
    }
  }

  /// A file of version 1 has statistics and no calls.
  @Test func readsVersion1() throws {
    try withTemporaryFolder { folder in
      let path = try Self.changed(
        folder,
        metadata: { metadata in
          metadata["version"] = 1
          metadata["calls"] = nil
          var settings = metadata["settings"]?.object ?? [:]
          settings["recorded_steps"] = nil
          settings["sizes"] = nil
          settings["width"] = 64
          settings["height"] = 32
          metadata["settings"] = .object(settings)
          metadata["runs"] = [["prompt": "a", "negative_prompt": "", "seed": 1]]
        }, tensors: { $0.removeAll { $0.0.hasPrefix("calls.") } })
      let file = try CalibrationFile(path: path)
      #expect(file.calls.isEmpty)
      #expect(file.settings.recordedSteps == 0)
      #expect(file.runs.map(\.size) == [ImageSize(width: 64, height: 32)])
      #expect(file.statistics["conv_in"] != nil)
    }
  }

  @Test func refusesOtherFiles() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/weights.safetensors"
      try writeSafetensors(
        MemorySource(location: path, [("w", StoredTensor(shape: [1], floats: [1]))]), to: path)
      #expect(
        Self.refusal(path)
          == "\(path): a safetensors file without 'decant.calibration' in its metadata, expected a "
          + "calibration")
      let text = folder + "/notes.txt"
      try "a picture of a cat".write(toFile: text, atomically: true, encoding: .utf8)
      #expect(Self.refusal(text) == "\(text): not a safetensors file, expected a calibration")
      #expect(throws: SafetensorsError.self) { try CalibrationFile(path: folder + "/nothing") }
    }
  }

  static let metadataCases: [(String, JSONValue?, String)] = [
    ("version", 3, "calibration version 3, expected 2"),
    ("tool", nil, "'tool' of the calibration is absent, expected a value"),
    ("tool", 3, "'tool' of the calibration is 3, expected a string"),
    ("extra", 1, "'extra' of the calibration is 1, expected no member of this name"),
    ("complete", "yes", "'complete' of the calibration is \"yes\", expected a Boolean"),
    ("model", [], "'model' of the calibration is [], expected an object"),
    (
      "model", ["component": "unet"],
      "'model.digest' of the calibration is absent, expected a value"
    ),
    (
      "settings",
      [
        "steps": 0, "recorded_steps": 8, "scheduler": "ddim", "guidance_scale": 1,
        "sizes": [[8, 8]],
      ],
      "'settings.steps' of the calibration is 0, expected an integer of at least 1"
    ),
    (
      "settings",
      [
        "steps": 1, "recorded_steps": 8, "scheduler": "ddim", "guidance_scale": "x",
        "sizes": [[8, 8]],
      ],
      "'settings.guidance_scale' of the calibration is \"x\", expected a number"
    ),
    (
      "bands", [0, 500, 500, 750, 1000],
      "'bands' of the calibration is [0,500,500,750,1000], expected at least two "
        + "ascending integers"
    ),
    (
      "passes", ["conditional"],
      "'passes' of the calibration is [\"conditional\"], expected [\"unconditional\",\"conditional\"]"
    ),
    (
      "histogram", ["bins": 322, "octaves": [-24, 16], "bins_per_octave": 4],
      "'histogram.bins_per_octave' of the calibration is 4, expected 8"
    ),
    (
      "modules", ["conv_in", "conv_in"],
      "'modules' of the calibration is [\"conv_in\",\"conv_in\"], expected distinct names"
    ),
    ("runs", [], "'runs' of the calibration is [], expected at least one run"),
    (
      "runs", [["prompt": "a", "negative_prompt": "", "seed": -1, "width": 8, "height": 8]],
      "'runs[0].seed' of the calibration is -1, expected an integer of at least 0"
    ),
    (
      "modules", ["conv_in"],
      "tensor 'block.linear.energy' belongs to no module of 'modules' and no call of 'calls'"
    ),
    (
      "calls", [["run": 1, "step": 0, "timestep": 1]],
      "'calls[0].run' of the calibration is 1, expected the index of a run"
    ),
    (
      "calls", [["run": 0, "step": 0, "timestep": "late"]],
      "'calls[0].timestep' of the calibration is \"late\", expected a finite number"
    ),
    (
      "calls",
      [["run": 0, "step": 1, "timestep": 9], ["run": 0, "step": 0, "timestep": 9]],
      "'calls[1]' of the calibration is {\"run\":0,\"step\":0,\"timestep\":9}, expected a call "
        + "after calls[0]"
    ),
    (
      "calls", [],
      "tensor 'calls.0.conditional' belongs to no module of 'modules' and no call of 'calls'"
    ),
    (
      "modules", ["conv_in", "block.linear", "more"],
      "tensor 'more.maximum' is missing, but the metadata lists its module or call"
    ),
    (
      "bands", [0, 1000],
      "tensor 'conv_in.maximum' is f32 [4, 2, 3], expected f32 [1, 2, 3]"
    ),
  ]

  @Test(arguments: metadataCases.indices)
  func refusesMetadata(index: Int) throws {
    let (member, value, message) = Self.metadataCases[index]
    try withTemporaryFolder { folder in
      let path = try Self.changed(folder, metadata: { $0[member] = value })
      #expect(Self.refusal(path) == "\(path): \(message)")
    }
  }

  /// Every member of the metadata is required.
  @Test func refusesEveryAbsentMember() throws {
    let settings = ["steps", "recorded_steps", "scheduler", "guidance_scale", "sizes"]
    let paths: [[String]] =
      [
        "version", "tool", "complete", "model", "settings", "bands", "passes", "histogram",
        "modules", "runs", "calls",
      ].map { [$0] } + settings.map { ["settings", $0] }
      + ["component", "digest"].map { ["model", $0] }
      + ["bins", "octaves", "bins_per_octave"].map { ["histogram", $0] }
    for path in paths {
      try withTemporaryFolder { folder in
        let file = try Self.changed(
          folder,
          metadata: { metadata in
            guard path.count == 2 else {
              metadata[path[0]] = nil
              return
            }
            var object = metadata[path[0]]?.object ?? [:]
            object[path[1]] = nil
            metadata[path[0]] = .object(object)
          })
        #expect(
          Self.refusal(file)
            == "\(file): '\(path.joined(separator: "."))' of the calibration is absent, expected a "
            + "value")
      }
    }
    for member in ["prompt", "negative_prompt", "seed", "width", "height"] {
      try withTemporaryFolder { folder in
        let file = try Self.changed(
          folder,
          metadata: { metadata in
            var run: JSONObject = [
              "prompt": "a", "negative_prompt": "", "seed": 1, "width": 8, "height": 8,
            ]
            run[member] = nil
            metadata["runs"] = [.object(run)]
          })
        #expect(
          Self.refusal(file)
            == "\(file): 'runs[0].\(member)' of the calibration is absent, expected a value")
      }
    }
  }

  @Test func refusesARepeatedRun() throws {
    try withTemporaryFolder { folder in
      let run: JSONValue = [
        "prompt": "a", "negative_prompt": "b", "seed": 4, "width": 8, "height": 8,
      ]
      let path = try Self.changed(folder, metadata: { $0["runs"] = [run, run] })
      #expect(
        Self.refusal(path)
          == "\(path): 'runs' lists the run of 'a' with negative prompt 'b' and seed 4 twice")
    }
  }

  @Test func refusesMetadataThatIsNotJSON() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      try writeSafetensors(
        MemorySource(location: path, []), metadata: ["decant.calibration": "{"], to: path)
      #expect(
        Self.refusal(path)?.hasPrefix("\(path): the calibration's metadata is not JSON: ") == true)
    }
  }

  @Test func refusesTensors() throws {
    try withTemporaryFolder { folder in
      let path = try Self.changed(
        folder,
        tensors: { all in
          all.removeAll { $0.0 == "conv_in.histogram" }
        })
      #expect(
        Self.refusal(path)
          == "\(path): tensor 'conv_in.histogram' is missing, but the metadata lists its "
          + "module or call")
    }
    try withTemporaryFolder { folder in
      let path = try Self.changed(
        folder,
        tensors: { all in
          all.removeAll { $0.0 == "conv_in.positions" }
          all.append(
            ("conv_in.positions", StoredTensor(shape: [4, 2], floats: [0, 0, 0, 0, 0, 0, 0, 0])))
        })
      #expect(
        Self.refusal(path)
          == "\(path): tensor 'conv_in.positions' is f32 [4, 2], expected u64 [4, 2]")
    }
  }

  /// The extents of an empty tensor are unchecked, and their products can overflow.
  @Test func refusesExtentsThatOverflow() throws {
    try withTemporaryFolder { folder in
      let path = try Self.changed(
        folder,
        tensors: { all in
          all.removeAll { $0.0 == "conv_in.maximum" }
          all.append(("conv_in.maximum", StoredTensor(shape: [0, 1, 1 << 61], floats: [])))
        })
      #expect(
        Self.refusal(path)
          == "\(path): tensor 'conv_in.maximum' is f32 [0, 1, \(1 << 61)], expected f32 [4, 2, 0]")
    }
  }

  @Test(arguments: [(Float.nan, "nan"), (.infinity, "inf"), (-1, "-1.0")])
  func refusesInvalidMaxima(value: Float, shown: String) throws {
    try withTemporaryFolder { folder in
      let path = try Self.changed(
        folder,
        tensors: { all in
          let index = all.firstIndex { $0.0 == "conv_in.maximum" }!
          var floats = all[index].1.floats()
          floats[5] = value
          all[index].1 = StoredTensor(shape: [4, 2, 3], floats: floats)
        })
      #expect(
        Self.refusal(path)
          == "\(path): tensor 'conv_in.maximum' holds \(shown), expected finite numbers, and "
          + "magnitudes of at least 0"
      )
    }
  }

  @Test func refusesModelsOfOtherChannels() throws {
    try withTemporaryFolder { folder in
      let file = try calibrator(folder + "/c").calibrate([runs[0]], on: FakeSubject())
      let wider = modules.map {
        $0.name == "block.linear" ? module("block.linear", .linear, [6, 10]) : $0
      }
      let error = #expect(throws: CalibrationError.self) { try file.check(against: wider) }
      #expect(
        error?.description
          == "\(folder)/c: the calibration belongs to another model: 'block.linear' has 5 input "
          + "channels in the calibration and 10 in the model")
      #expect(error?.remedy == .recalibrate)
    }
  }
}
