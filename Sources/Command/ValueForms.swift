internal import ArgumentParser
internal import Support
private import Workflow

/// The form of an option's values.
///
/// The parser says that a value is invalid, but not what is expected. It reports a value that
/// begins with a hyphen as missing.
struct ValueForm: Sendable {
  /// As the object of "expected".
  let expected: String
  let accepts: @Sendable (String) -> Bool

  init(_ expected: String, accepts: @escaping @Sendable (String) -> Bool) {
    self.expected = expected
    self.accepts = accepts
  }

  /// The form of an option's values; `nil` for text.
  static func of(_ option: OptionTable.Entry) -> ValueForm? {
    guard let valueName = option.valueName else { return nil }
    return byOption["\(option.preferredName) <\(valueName)>"] ?? byValueName[valueName]
  }

  /// Forms of single options, by their names and those of their values.
  private static let byOption = [
    "--size <WxH>": ValueForm("WIDTHxHEIGHT in pixels, multiples of 8, such as 512x512") {
      ImageSize(argument: $0) != nil
    },
    "--pictures <n>": ValueForm("a whole number, 0 or more") { Int($0) != nil },
    "--minutes <n>": number,
    "--measure <name>": ValueForm(
      alternatives(CalibrateJob.Measurement.allCases.map(\.rawValue))
    ) { Measurements(argument: $0) != nil },
    "--keep-sensitive <percent>": ValueForm("a percentage from 0 to 100, such as 3%") {
      ShareArgument(argument: $0) != nil
    },
  ]

  /// Forms by the name that a value has in the help.
  private static let byValueName = [
    "WxH": ValueForm("WIDTHxHEIGHT in pixels, such as 1024x1024") {
      ImageSize(argument: $0) != nil
    },
    "WxH[,WxH]": ValueForm(
      "WIDTHxHEIGHT in pixels, multiples of 8, or several, separated by commas, such as "
        + "512x512,256x256"
    ) { ImageSizes(argument: $0) != nil },
    "I/N": ValueForm("I/N with I from 1 to N, such as 1/4") { Shard(argument: $0) != nil },
    "x,y": ValueForm("X,Y in pixels from the left and the top, 0 or more, such as 0,0") {
      PointArgument(argument: $0) != nil
    },
    "s": ValueForm("a whole number from 0 to \(UInt64.max), or -1 for a random one") {
      SeedArgument(argument: $0) != nil
    },
    "size": ValueForm(ByteSize.expected) { (try? ByteSize(argument: $0)) != nil },
    "percent": ValueForm("a percentage above 0 and at most 100, such as 1%") {
      PercentArgument(argument: $0) != nil
    },
    "count": ValueForm("a number of parameters, such as 1.3B, 1300M or 1.3e9") {
      ParameterCount(argument: $0) != nil
    },
    "size,…": ValueForm("sizes with units, separated by commas, such as 400MB,500MB") {
      ByteSizesArgument(argument: $0) != nil
    },
    "bits": ValueForm("a number of bits above 0 and at most 32, such as 4.5") {
      BitsArgument(argument: $0) != nil
    },
    "depth=blocks": ValueForm("DEPTH=BLOCK,…, such as 10=0,1,2,5") {
      KeptBlocksArgument(argument: $0) != nil
    },
    "n": whole, "w": whole, "h": whole, "g": number, "x": number, "dB": number,
  ]

  private static let whole = ValueForm("a whole number, 1 or more") { Int($0) != nil }
  private static let number = ValueForm("a number, such as 0.5") { Double($0) != nil }
}
