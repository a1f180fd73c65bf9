import Foundation
import TestSupport
import Testing

/// The list of changes below the result of a command, and `--strict`.
@Suite struct StrictTests {
  /// A diffusers folder with a component that Decant does not read.
  private func withEncoder(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try FileManager.default.copyItem(
        atPath: fixture("golden/pipeline"), toPath: folder + "/model")
      let index = folder + "/model/model_index.json"
      let text = try String(contentsOfFile: index, encoding: .utf8)
      let other = text.replacing(
        "\"image_encoder\": [\n    null,\n    null\n  ]",
        with: #""image_encoder": ["transformers", "CLIPVisionModelWithProjection"]"#)
      #expect(other != text)
      try other.write(toFile: index, atomically: true, encoding: .utf8)
      try body(folder)
    }
  }

  @Test func changesArePrintedAndRefusedOnRequest() throws {
    try withEncoder { folder in
      let line = "left out: a component that Decant does not read: 'image_encoder'"
      let convert = ["convert", "model", "-o", "a.decant"]
      try expectDecant(
        convert + ["--strict", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: model: 1 change to the model was not requested: \(line); leave --strict out")
      #expect(try names(folder) == ["model"])
      let ending = try expectDecant(convert + ["--quiet"], in: folder)
      #expect(ending.output.hasSuffix("\n\(line)\n"), "\(ending.output)")
      let json = try expectDecant(convert + ["--quiet", "--json", "--force"], in: folder)
      #expect(json.output.contains(#""kind": "left_out""#), "\(json.output)")
      // Nothing is left out of the output.
      try expectDecant(["convert", "a.decant", "-o", "b/", "--strict", "--quiet"], in: folder)
    }
  }

  /// Every command that writes refuses changes that were not requested.
  @Test func changesAreRefusedByEveryCommand() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.safetensors", "--quiet"], in: folder)
      var file = try bytes(folder + "/a.safetensors")
      // An average that is empty, and that the file's own config does not mention.
      let size = file.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
      var header = String(decoding: file[8..<8 + size], as: UTF8.self)
        .trimmingCharacters(in: .whitespaces)
      header.removeLast()
      header +=
        #","model_ema.diffusion_modelx":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}}"#
      while header.utf8.count % 8 != 0 { header += " " }
      let length = Data((0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) })
      file = length + Data(header.utf8) + file.dropFirst(8 + size)
      try file.write(to: URL(fileURLWithPath: folder + "/b.safetensors"))
      let line =
        "left out: unet: an incomplete moving average, which has 1 of 208 tensors: "
        + "'model_ema.diffusion_modelx'"
      let ending = try expectDecant(
        ["convert", "b.safetensors", "-o", "c.decant", "--quiet"], in: folder)
      #expect(
        ending.output.hasSuffix("\n\(line)\n"), "\(ending.output)")
      for command in [
        ["strip", "b.safetensors", "--drop", "mid_block"],
        ["quantize", "b.safetensors", "--type", "int8"],
        ["quantize", "b.safetensors", "--type", "int8", "--dry-run"],
        ["shrink", "b.safetensors", "--drop", "mid_block"],
      ] {
        try expectDecant(
          command + ["-o", "d.decant", "--strict", "--quiet"], in: folder, exit: 2,
          stderr: "decant: b.safetensors: 1 change to the model was not requested: \(line); "
            + "leave --strict out")
      }
      #expect(try names(folder) == ["a.safetensors", "b.safetensors", "c.decant", "model"])
    }
  }
}
