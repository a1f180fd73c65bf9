import Foundation
import TestSupport
import Testing

/// The stages that commands print while they run.
@Suite struct StageTests {
  @Test(arguments: [
    (["inspect", "model", "--check"], ["checking model", "checking the tensors of model"]),
    (["convert", "model", "-o", "a.decant"], ["writing a.decant"]),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8"],
      ["looking for outliers in the weights of unet", "writing a.decant"]
    ),
    (
      ["extract", "model", "--component", "vae", "-o", "a.safetensors"],
      ["writing a.safetensors"]
    ),
    (
      ["calibrate", "model", "-o", "a", "--steps", "1", "--prompt-limit", "1", "--size", "16x16"],
      ["reading model", "timing a call of unet", "calibrating with 1 image of 16x16"]
    ),
    (
      [
        "verify", "model", "model", "--steps", "1", "--prompt-limit", "1", "--size", "16x16",
        "--no-baselines",
      ],
      ["reading model and model", "verifying model against model"]
    ),
    (
      [
        "generate", "model", "-p", "a", "-p", "b", "-o", "a.png", "--steps", "1", "--size", "16x16",
      ],
      [
        "reading model", "loading model", "generating with model, 1 of 2",
        "generating with model, 2 of 2",
      ]
    ),
    (
      [
        "generate", "model", "./model", "-p", "a", "--grid", "a.png", "--steps", "1", "--size",
        "16x16",
      ],
      [
        "reading model", "reading ./model", "loading model", "generating with model, 1 of 1",
        "loading ./model", "generating with model, 1 of 1",
      ]
    ),
    (
      ["bench", "model", "--steps", "1", "--size", "16x16", "--guidance-scale", "1"],
      ["loading model", "measuring model"]
    ),
    (
      ["bench", "model", "--steps", "1", "--size", "16x16", "--compute", "f32,int8"],
      ["measuring model, f32", "measuring model, int8"]
    ),
  ])
  func stagesArePrinted(arguments: [String], stages: [String]) throws {
    try withModel { folder in
      let lines = try expectDecant(arguments, in: folder).errors.split(separator: "\n")
      let found = lines.filter { $0.hasSuffix(" …") }.map { String($0.dropLast(2)) }
      #expect(found == stages)
    }
  }
}
