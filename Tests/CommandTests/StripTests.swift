import TestSupport
import Testing

/// The options of `strip` that choose blocks by measurement, and --allow-strip.
@Suite struct StripTests {
  private static let percentages = "a percentage above 0 and at most 100, such as 1%"
  private static let counts = "a number of parameters, such as 1.3B, 1300M or 1.3e9"

  @Test(arguments: [
    (
      ["strip", "model", "-o", "a", "--max-error", "2%"],
      "--max-error needs --calibration FILE, with which errors are measured; make it with `decant "
        + "calibrate`."
    ),
    (
      ["strip", "model", "-o", "a", "--to-size", "50%"],
      "--to-size needs --calibration FILE, with which errors are measured; make it with `decant "
        + "calibrate`."
    ),
    (
      ["strip", "model", "-o", "a", "--calibration", "c"],
      "Nothing to remove; give --max-error 2% with --calibration FILE (recommended), or one of "
        + "--to-size and --to-parameters with it, --recipe NAME and --drop BLOCK."
    ),
    (
      [
        "strip", "model", "-o", "a", "--to-size", "50%", "--recipe", "ssd-1b", "--calibration", "c",
      ],
      "Give one of --to-size and --recipe: each decides on the blocks to remove."
    ),
    (
      [
        "strip", "model", "-o", "a", "--max-error", "2", "--to-parameters", "1B", "--calibration",
        "c",
      ],
      "Give one of --max-error and --to-parameters: each decides on the blocks to remove."
    ),
    (
      ["strip", "model", "-o", "a", "--to-size", "101%"],
      "The value '101%' is invalid for '--to-size <percent>': expected \(percentages)"
    ),
    (
      ["strip", "model", "-o", "a", "--to-parameters", "1.3T"],
      "The value '1.3T' is invalid for '--to-parameters <count>': expected \(counts)"
    ),
    (
      ["strip", "model", "-o", "a", "--to-parameters", "0"],
      "The value '0' is invalid for '--to-parameters <count>': expected \(counts)"
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--type", "int8", "--allow-strip"],
      "--allow-strip needs a target: --target-size, --target-bits, --max-error or --vram."
    ),
    (
      [
        "shrink", "model", "-o", "a.decant", "--target-size", "5MB", "--allow-strip", "--drop",
        "mid_block",
      ],
      "Give --drop or --allow-strip, not both: each decides on the blocks to remove."
    ),
  ])
  func contradictoryArgumentsAreRefused(arguments: [String], sentence: String) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments, in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: " + sentence + "\n"), "\(ending.errors)")
      #expect(try names(folder) == ["model"])
    }
  }

  @Test func numbersOfParametersHaveUnits() throws {
    try withModel { folder in
      try expectDecant(
        [
          "calibrate", "model", "-o", "c", "--steps", "1", "--prompt-limit", "1", "--size", "16x16",
          "--quiet",
        ], in: folder)
      for (text, count) in [
        ("1.3B", "1,300,000,000"), ("1300m", "1,300,000,000"), ("1.3e9", "1,300,000,000"),
        ("1300000000", "1,300,000,000"), ("900000K", "900,000,000"),
      ] {
        let ending = try expectDecant(
          ["strip", "model", "-o", "a", "--to-parameters", text, "--calibration", "c"], in: folder,
          exit: 2)
        #expect(
          ending.errors.contains(
            " parameters, which is not more than \(count); choose a smaller --to-parameters\n"),
          "\(ending.errors)")
        #expect(try names(folder) == ["c", "model"])
      }
    }
  }
}
