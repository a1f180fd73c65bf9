import Foundation
import TestSupport
import Testing

/// The options of `decant generate`.
@Suite struct GenerateTests {
  @Test(
    arguments: [
      ([], "no output is named; pass --output, or pass --grid for all images in one file"),
      (
        ["64x72", "-o", "a.png"],
        "2 models are named: model and 64x72; files of single images and of latents are written for one model; pass --grid for all images in one file"
      ),
      (
        ["-o", "a.png", "--mask", "m.png"],
        "the mask m.png is given without an initial image; pass --init-image too, or leave --mask out"
      ),
      (
        ["-o", "a.png", "--strength", "0.5"],
        "a strength of 0.5 is given without an initial image; pass --init-image too, or leave --strength out"
      ),
      (
        ["-o", "a.png", "-p", "y", "--latents", "in.safetensors"],
        "initial latents are given with 2 prompts, expected one prompt; give one prompt, or leave --latents out"
      ),
      (
        ["-p", "y", "--save-latents", "a.safetensors"],
        "the latents of 2 prompts cannot be saved, expected one prompt; give one prompt, or leave --save-latents out"
      ),
      (
        ["-o", "a.png", "--quiet", "--init-image", fixture("golden/pipeline-short-0.png")]
          + ["--strength", "1.5"],
        "the strength is 1.5, expected more than 0, up to 1"
      ),
      (
        ["-o", "a.png", "--sampler", "eulr"],
        "scheduler 'eulr' is unknown (did you mean 'euler'?); expected pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras or lcm"
      ),
    ] as [([String], String)])
  func impossibleRequestsAreRefused(arguments: [String], sentence: String) throws {
    try withModel { folder in
      try expectDecant(
        ["generate", "model", "-p", "x"] + arguments, in: folder, exit: 2,
        stderr: "decant: " + sentence)
      #expect(try names(folder) == ["model"])
    }
  }

  @Test(arguments: [
    ["DPM++ 2M", "dpmpp_2m", "DPMSolverMultistepScheduler"], ["Euler a", "euler_ancestral"],
  ])
  func schedulersHaveUsualNames(names: [String]) throws {
    try withModel { folder in
      let images = try names.enumerated().map { index, name in
        let path = "\(index).png"
        try expectDecant(
          [
            "generate", "model", "-p", "x", "--steps", "2", "--size", "16x16", "--quiet",
            "--scheduler", name, "-o", path,
          ], in: folder)
        return try bytes(folder + "/" + path)
      }
      #expect(Set(images).count == 1)
    }
  }

  /// The latents that `generate` saves with other options.
  private func latents(
    _ model: String, _ options: [String], _ name: String, in folder: String
  ) throws -> Data {
    let output = name + ".safetensors"
    try expectDecant(
      [
        "generate", model, "-p", "a red circle", "--steps", "2", "--scheduler", "euler",
        "--quiet", "--save-latents", output,
      ] + options, in: folder)
    return try bytes(folder + "/" + output)
  }

  @Test func optionsOfInitialImagesChangeTheLatents() throws {
    try withModel { folder in
      let begin = ["--init-image", fixture("golden/pipeline-short-0.png")]
      let options = [
        ["--size", "64x64"], begin, begin + ["--strength", "1"],
        begin + ["--mask", fixture("golden/pipeline-many-0.png")],
        begin + ["--mask", fixture("golden/pipeline-many-1.png"), "--strength", "1"],
      ]
      let found = try options.enumerated().map { index, options in
        try latents("model", options, "\(index)", in: folder)
      }
      #expect(Set(found).count == options.count)
    }
  }

  /// `--crop X,Y` is the distance from the left, then from the top.
  @Test func sizeConditioningChangesTheLatents() throws {
    try withTemporaryFolder { folder in
      let model = fixture("mini-sdxl")
      let size = ["--size", "16x16"]
      let options = [
        [], ["--crop", "8,0"], ["--crop", "0,8"], ["--original-size", "64x16"],
        ["--original-size", "16x64"], ["--target-size", "64x16"],
      ]
      let found = try options.enumerated().map { index, options in
        try latents(model, size + options, "\(index)", in: folder)
      }
      #expect(Set(found).count == options.count)
      let stated = ["--crop", "0,0", "--original-size", "16x16", "--target-size", "16x16"]
      #expect(try latents(model, size + stated, "stated", in: folder) == found[0])
    }
  }
}
