import Foundation
import TestSupport
import Testing

/// The options of `decant bench`.
@Suite struct BenchTests {
  /// The measurements of one model.
  private func row(
    steps: Int = 2, size: String = "16x16", guidance: String = "1", threads: Int = 2
  ) throws -> [String: Any] {
    var row: [String: Any] = [:]
    try withModel { folder in
      let ending = try expectDecant(
        [
          "bench", "model", "--steps", "\(steps)", "--size", size, "--guidance-scale", guidance,
          "--threads", "\(threads)", "--profile", "--json", "--quiet",
        ], in: folder)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any])
      row = try #require((object["models"] as? [[String: Any]])?.first)
    }
    return row
  }

  /// The multiply-adds of all operations, which do not depend on the machine's load.
  private func products(_ row: [String: Any]) throws -> Double {
    let profile = try #require(row["profile"] as? [String: Any])
    let operations = try #require(profile["operations"] as? [[String: Any]])
    return operations.reduce(0) { $0 + ($1["products"] as? Double ?? 0) }
  }

  @Test func everyOptionChangesTheMeasurement() throws {
    let standard = try row()
    let work = try products(standard)
    #expect(work > 0)
    #expect(standard["steps"] as? Int == 2 && standard["threads"] as? Int == 2)
    #expect(standard["width"] as? Int == 16 && standard["height"] as? Int == 16)
    #expect(try products(row()) == work)

    let longer = try row(steps: 4)
    #expect(longer["steps"] as? Int == 4)
    #expect(try products(longer) > work)

    let larger = try row(size: "32x16")
    #expect(larger["width"] as? Int == 32 && larger["height"] as? Int == 16)
    #expect(try products(larger) > work)

    // With guidance, a step is two U-Net calls.
    #expect(try products(row(guidance: "7.5")) > work)

    let single = try row(threads: 1)
    #expect(single["threads"] as? Int == 1)
    #expect(try products(single) == work)
  }

  /// The options that select what is read apply to one measurement, which runs in this process, and
  /// to two, which run in child processes.
  @Test(arguments: [
    (["--variant", "fp16"], "fp16"), (["--prediction", "luck"], "luck"),
    (["--ema"], "leave --ema out"),
  ])
  func optionsOfReadingApply(options: [String], words: String) throws {
    try withModel { folder in
      for computes in ["f32", "f32,f32-direct"] {
        let ending = try expectDecant(
          ["bench", "model", "--steps", "1", "--size", "16x16", "--quiet", "--compute", computes]
            + options, in: folder, exit: 2)
        #expect(ending.errors.contains(words), "\(ending.errors)")
        #expect(ending.errors.split(separator: "\n").count == 1, "\(ending.errors)")
      }
    }
  }

  /// Each child process gets every option, however the option is spelled.
  @Test func childProcessesGetTheOptions() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "bench", "--verbose", "--compute", "f32,f32-direct", "model", "--steps=3", "--size",
          "32x16", "--cfg-scale", "-2", "--threads", "1", "--profile", "--json",
        ], in: folder)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any])
      let rows = try #require(object["models"] as? [[String: Any]])
      #expect(rows.map { $0["compute"] as? String } == ["f32", "f32-direct"])
      for row in rows {
        #expect(row["steps"] as? Int == 3 && row["threads"] as? Int == 1)
        #expect(row["width"] as? Int == 32 && row["height"] as? Int == 16)
        #expect(row["profile"] is [String: Any])
      }
    }
  }

  @Test func nonfiniteWeightsAreMeasuredOnRequest() throws {
    try withModel { folder in
      let copy = folder + "/copy"
      try FileManager.default.copyItem(atPath: fixture("golden/pipeline"), toPath: copy)
      let path = copy + "/unet/diffusion_pytorch_model.safetensors"
      var weights = try bytes(path)
      // float16's NaN as the last number of the file.
      weights.replaceSubrange(weights.count - 2..<weights.count, with: [0x00, 0x7e])
      try weights.write(to: URL(fileURLWithPath: path))
      let bench = [
        "bench", "copy", "--steps", "1", "--size", "16x16", "--quiet", "--compute",
        "f32,f32-direct",
      ]
      let ending = try expectDecant(bench, in: folder, exit: 2)
      #expect(ending.errors.contains("NaN or infinite numbers"), "\(ending.errors)")
      try expectDecant(bench + ["--allow-nonfinite"], in: folder)
    }
  }

  @Test func unknownFamiliesAreRefusedBeforeAnythingIsMeasured() throws {
    try withModel { folder in
      let ending = try expectDecant(
        ["bench", "model", "--family", "sd-v9", "--steps", "900"], in: folder, exit: 2)
      #expect(
        ending.errors.hasPrefix("decant: family 'sd-v9' is unknown; expected sd-v1-4, "),
        "\(ending.errors)")
    }
  }
}
