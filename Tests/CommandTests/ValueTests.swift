import Foundation
import TestSupport
import Testing

/// Values of options: what is said of those of a wrong form, and which units are accepted.
@Suite struct ValueTests {
  private static let size = "expected WIDTHxHEIGHT in pixels, multiples of 8, such as 512x512"
  private static let sizes =
    "expected WIDTHxHEIGHT in pixels, multiples of 8, or several, separated by commas, such as 512x512,256x256"
  private static let point =
    "expected X,Y in pixels from the left and the top, 0 or more, such as 0,0"
  private static let bytes =
    "expected a size with a unit, such as 5GB, 500MB or 2GiB, or a number of bytes from 1000000"
  private static let whole = "expected a whole number, 1 or more"

  @Test(
    arguments: [
      ("generate", ["--size", "64"], "--size <WxH>", size),
      ("generate", ["--size", "0x0"], "--size <WxH>", size),
      ("verify", ["--size", "5x"], "--size <WxH[,WxH]>", sizes),
      ("generate", ["--size", "-64x64"], "--size <WxH>", size),
      (
        "generate", ["--original-size=64"], "--original-size <WxH>",
        "expected WIDTHxHEIGHT in pixels, such as 1024x1024"
      ),
      ("generate", ["--crop", "3"], "--crop <x,y>", point),
      ("generate", ["--crop", "-1,1"], "--crop <x,y>", point),
      ("generate", ["--steps", "abc"], "--steps <n>", whole),
      ("verify", ["--threads", "two"], "--threads <n>", whole),
      ("verify", ["--pictures", "x"], "--pictures <n>", "expected a whole number, 0 or more"),
      ("generate", ["-W", "wide"], "-W <w>", whole),
      (
        "generate", ["--seed", "1.5"], "--seed <s>",
        "expected a whole number from 0 to 18446744073709551615, or -1 for a random one"
      ),
      ("generate", ["--cfg-scale", "x"], "--cfg-scale <g>", "expected a number, such as 0.5"),
      ("generate", ["--strength", "most"], "--strength <x>", "expected a number, such as 0.5"),
      ("verify", ["--min-psnr", "abc"], "--min-psnr <dB>", "expected a number, such as 0.5"),
      ("inspect", ["--vram", "-4GB"], "--vram <size>", bytes),
      ("inspect", ["--vram", "much"], "--vram <size>", bytes),
      ("convert", ["--max-shard-size", "-1GB"], "--max-shard-size <size>", bytes),
      (
        "strip", ["--transformer-blocks", "10"], "--transformer-blocks <depth=blocks>",
        "expected DEPTH=BLOCK,…, such as 10=0,1,2,5"
      ),
    ] as [(String, [String], String, String)])
  func aWrongFormIsRefusedWithTheRightOne(
    command: String, arguments: [String], option: String, expected: String
  ) throws {
    try withTemporaryFolder { folder in
      let ending = try expectDecant([command, "model"] + arguments, in: folder, exit: 2)
      let value = try #require(arguments.last?.split(separator: "=").last)
      #expect(
        ending.errors.hasPrefix(
          "decant: The value '\(value)' is invalid for '\(option)': \(expected)\n"),
        "\(ending.errors)")
      #expect(ending.output.isEmpty)
    }
  }

  @Test func aNegativeSideIsNotAMissingOne() throws {
    try withTemporaryFolder { folder in
      let ending = try expectDecant(
        ["generate", "model", "-p", "x", "-o", "a.png", "-W", "-8"], in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: -W takes 1 or more, not -8.\n"), "\(ending.errors)")
    }
  }

  @Test(arguments: ["1TB", "1t", "1000GB"])
  func terabytesAreAUnit(size: String) throws {
    try withModel { folder in
      let ending = try expectDecant(["inspect", "model", "--vram", size], in: folder)
      #expect(ending.output.contains(" fit in 1000 GB for one image of "), "\(ending.output)")
    }
  }

  @Test(arguments: ["4GB", "4G", "4g", "4 GB", "4 g", "4000M", "4000000k", "4000000000"])
  func unitsHaveShortNames(size: String) throws {
    try withModel { folder in
      let ending = try expectDecant(["inspect", "model", "--vram", size], in: folder)
      #expect(ending.output.contains(" fit in 4.00 GB for one image of "), "\(ending.output)")
    }
  }
}
