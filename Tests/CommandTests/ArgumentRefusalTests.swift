import Foundation
import TestSupport
import Testing

/// Arguments that contradict each other, have no effect or have another form than expected.
@Suite struct ArgumentRefusalTests {
  @Test(arguments: [
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "0"],
      "--steps takes 1 or more, not 0."
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--threads", "0"],
      "--threads takes 1 to 1024, not 0."
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--seed", "-2"],
      "The value '-2' is invalid for '--seed <s>': expected a whole number from 0 to 18446744073709551615, or -1 for a random one"
    ),
    (
      ["verify", "model", "model", "--min-psnr", "nan"],
      "--min-psnr takes a finite number, not nan."
    ),
    (
      ["convert", "model", "-o", "a.decant", "--type", "Q8_0"],
      "--type takes f32, f16, bf16, not int8-g32; for int8-g32 use 'decant quantize --type int8-g32'."
    ),
    (
      ["quantize", "model", "--type", "int8"],
      "No output is named; give -o OUT, or --dry-run to see the plan."
    ),
    (
      ["quantize", "model", "-o", "a.decant"],
      "No type is given; give --type TYPE, a target (--target-size, --target-bits, --max-error or --vram) or --plan FILE."
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--target-size", "5MB"],
      "Give one of --type and --target-size: each decides on the types of all layers."
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--target-bits", "4.5", "--max-error", "1%"],
      "Give one of --target-bits and --max-error: each decides on the types of all layers."
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--plan", "p", "--keep", "mid_block"],
      "--keep contradicts --plan, which has the type of each layer; leave it out."
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--target-bits", "5", "--convrot"],
      "--convrot needs --type, and no target."
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--max-error", "0"],
      "The value '0' is invalid for '--max-error <percent>': expected a percentage above 0 and at most 100, such as 1%"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--target-bits", "40"],
      "The value '40' is invalid for '--target-bits <bits>': expected a number of bits above 0 and at most 32, such as 4.5"
    ),
    (
      ["plan", "model", "--calibration", "c", "--sizes", "4MB,5"],
      "The value '4MB,5' is invalid for '--sizes <size,…>': expected sizes with units, separated by commas, such as 400MB,500MB"
    ),
    (["calibrate", "-o", "a"], "Give either a MODEL to run or --merge FILE FILE, not both."),
    (["calibrate", "--merge", "a", "-o", "b"], "--merge takes two files or more, not 1."),
    (
      ["calibrate", "--merge", "a", "b", "-o", "c", "--steps", "20", "--size", "64x64"],
      "--steps and --size have no effect with --merge, which runs no model; leave them out."
    ),
    (
      ["calibrate", "--merge", "a", "b", "-o", "c", "--prompts", "p", "--vae", "v", "--ema"],
      "--prompts, --ema and --vae have no effect with --merge, which runs no model; leave them out."
    ),
    (
      ["convert", "model", "-o", "a", "--max-shard-size", "3"],
      "The value '3' is invalid for '--max-shard-size <size>': expected a size with a unit, such as 5GB, 500MB or 2GiB, or a number of bytes from 1000000"
    ),
    (["bench"], "Nothing to measure; give a MODEL, --family NAME or --kernels."),
    (
      ["bench", "model", "--compute", "f32,int3"],
      "--compute takes f32, f32-direct, int8, not 'int3'."
    ),
    (
      ["quantize", "model", "-o", "a", "--type", "int8", "--compute", "int8"],
      "Unknown option '--compute'. It is an option of calibrate, shrink, verify, generate, forward, bench and serve."
    ),
    (
      ["forward", "model", "--component", "ear", "--inputs", "a", "-o", "b"],
      "--component takes unet, vae-decoder, vae-encoder, text-encoder, text-encoder-2, not 'ear'."
    ),
    (
      ["extract", "model", "--component", "text", "-o", "a.safetensors"],
      "--component takes clip-l, clip-g, text-encoder, vae, unet, not 'text'."
    ),
    (["nothing"], "Unexpected argument 'nothing'"),
    (
      ["help", "nothing"],
      "Unexpected argument 'nothing'; expected inspect, convert, extract, strip, distill, calibrate, plan, quantize, shrink, verify, generate, forward, bench, serve or synthesize."
    ),
    (["help", "convrt"], "Unexpected argument 'convrt'; did you mean convert?"),
    (["convrt", "model", "-o", "a"], "Unexpected argument 'convrt'; did you mean convert?"),
    (
      ["model"],
      "'model' is a file or folder, but a command is expected first; for example: decant inspect model"
    ),
  ])
  func contradictoryArgumentsAreRefused(arguments: [String], sentence: String) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments, in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: " + sentence + "\n"), "\(ending.errors)")
      #expect(ending.output.isEmpty)
      #expect(try names(folder) == ["model"])
    }
  }

  private static let shares = "a percentage from 0 to 100, such as 3%"
  private static let parts = "I/N with I from 1 to N, such as 1/4"
  private static let efforts = "Please provide one of 'quick', 'standard' or 'thorough'."

  @Test(arguments: [
    (
      ["calibrate", "model", "-o", "c", "--effort", "slow"],
      "The value 'slow' is invalid for '--effort <level>'. \(efforts)"
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--effort", "1"],
      "The value '1' is invalid for '--effort <level>'. \(efforts)"
    ),
    (
      ["calibrate", "model", "-o", "c", "--measure", "speed"],
      "The value 'speed' is invalid for '--measure <name>': expected sensitivity or blocks"
    ),
    (
      ["calibrate", "model", "-o", "c", "--measure", "sensitivity,"],
      "The value 'sensitivity,' is invalid for '--measure <name>': expected sensitivity or blocks"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--keep-sensitive", "101%"],
      "The value '101%' is invalid for '--keep-sensitive <percent>': expected \(shares)"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--keep-sensitive", "-1"],
      "The value '-1' is invalid for '--keep-sensitive <percent>': expected \(shares)"
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--keep-sensitive", "few"],
      "The value 'few' is invalid for '--keep-sensitive <percent>': expected \(shares)"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--max-error", "2", "--keep-sensitive", "3"],
      "--keep-sensitive has no effect with --max-error, which decides on the types of the layers; leave it out."
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--plan", "p", "--keep-sensitive", "0"],
      "--keep-sensitive has no effect with --plan, which decides on the types of the layers; leave it out."
    ),
    (
      [
        "quantize", "model", "-o", "a.decant", "--type", "int8", "--only", "mid_block",
        "--keep-sensitive", "3",
      ],
      "--keep-sensitive has no effect with --only, which decides on the types of the layers; leave it out."
    ),
    (
      ["calibrate", "model", "-o", "c", "--shard", "3/2"],
      "The value '3/2' is invalid for '--shard <I/N>': expected \(parts)"
    ),
    (
      ["calibrate", "model", "-o", "c", "--shard", "0/2"],
      "The value '0/2' is invalid for '--shard <I/N>': expected \(parts)"
    ),
    (
      ["calibrate", "model", "-o", "c", "--shard", "2"],
      "The value '2' is invalid for '--shard <I/N>': expected \(parts)"
    ),
    (
      ["calibrate", "model", "-o", "c", "--minutes", "5", "--shard", "1/2"],
      "--minutes cannot be given with --shard: the parts would not be those of one calibration; leave it out."
    ),
    (
      ["calibrate", "model", "-o", "c", "--minutes", "0"],
      "--minutes is 0.0, expected more than 0."
    ),
    (
      ["calibrate", "model", "-o", "c", "--minutes", "soon"],
      "The value 'soon' is invalid for '--minutes <n>': expected a number, such as 0.5"
    ),
    (
      ["calibrate", "model", "-o", "c", "--size", "16x16,"],
      "The value '16x16,' is invalid for '--size <WxH[,WxH]>': expected WIDTHxHEIGHT in pixels, multiples of 8, or several, separated by commas, such as 512x512,256x256"
    ),
    (
      [
        "calibrate", "--merge", "a", "b", "-o", "c", "--effort", "quick", "--minutes", "1",
        "--measure", "sensitivity",
      ],
      "--effort, --minutes and --measure have no effect with --merge, which runs no model; leave them out."
    ),
    (
      ["calibrate", "--merge", "a", "b", "-o", "c", "--shard", "1/2"],
      "--shard has no effect with --merge, which runs no model; leave it out."
    ),
  ])
  func settingsOfMeasurementsAreRefused(arguments: [String], sentence: String) throws {
    try contradictoryArgumentsAreRefused(arguments: arguments, sentence: sentence)
  }
}
