private import Support
private import Tensors

/// The settings that an image was generated with, in the text format that A1111's web UI and
/// compatible programs store in PNG files under the keyword `parameters`.
///
///     a photo of a cat
///     Negative prompt: blurry
///     Steps: 25, Sampler: PLMS, CFG scale: 7.5, Seed: 42, Size: 512x512, Model: sd-v1-4, Version: Decant
///
/// Adapters that were merged into the model follow the model: `LoRA: "style 0.8, detail 0.5"`. They
/// are not written as `<lora:style:0.8>` in the prompt, because a program that reads the text would then
/// add them to the model again.
package struct GenerationParameters: Sendable, Equatable {
  package var prompt: String
  package var negativePrompt: String
  package var steps: Int
  /// ``SchedulerKind/title``.
  package var sampler: String
  package var guidanceScale: Double
  package var seed: UInt64
  package var width: Int
  package var height: Int
  package var model: String
  /// The adapters that were merged into the model, in order.
  package var adapters: [Adapter] = []
  package var version = "Decant"
  /// Strength of image-to-image; `nil` without an initial image.
  package var denoisingStrength: Double?
  /// Whether a mask was used. Web UIs record it as the mask's blur, which is always 0 here.
  package var isMasked = false
  /// The position in a batch; `nil` for a single image.
  package var batch: Batch?

  package struct Batch: Sendable, Equatable {
    package var size: Int
    /// From 0.
    package var position: Int

    package init(size: Int, position: Int) {
      self.size = size
      self.position = position
    }
  }

  package struct Adapter: Sendable, Equatable {
    /// The file's name without its extension.
    package var name: String
    package var scale: Double

    package init(name: String, scale: Double) {
      self.name = name
      self.scale = scale
    }
  }

  package static let keyword = "parameters"

  package init(
    prompt: String, negativePrompt: String, steps: Int, sampler: String, guidanceScale: Double,
    seed: UInt64, width: Int, height: Int, model: String
  ) {
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.steps = steps
    self.sampler = sampler
    self.guidanceScale = guidanceScale
    self.seed = seed
    self.width = width
    self.height = height
    self.model = model
  }

  package var text: String {
    var members = [
      ("Steps", String(steps)), ("Sampler", sampler), ("CFG scale", Self.number(guidanceScale)),
      ("Seed", String(seed)), ("Size", "\(width)x\(height)"), ("Model", model),
      ("Version", version),
    ]
    if !adapters.isEmpty {
      let list = adapters.map { "\($0.name) \(Self.number($0.scale))" }.joined(separator: ", ")
      members.insert((Self.adaptersMember, list), at: members.count - 1)
    }
    if let denoisingStrength {
      let strength = ("Denoising strength", Self.number(denoisingStrength))
      members.insert(strength, at: members.count - 1)
    }
    if isMasked { members.insert(("Mask blur", "0"), at: members.count - 1) }
    if let batch {
      members.insert(contentsOf: Self.members(of: batch), at: members.count - 1)
    }
    let line = members.map { "\($0): \(Self.quoted($1))" }.joined(separator: ", ")
    let text =
      Self.onOneLine(prompt) + "\n"
      + (negativePrompt.isEmpty
        ? "" : Self.negativePrefix + Self.onOneLine(negativePrompt) + "\n")
      + line
    return Self.withoutControlCharacters(text)
  }

  /// The text without control characters other than line breaks and tabs. Programs print what they
  /// read from an image, and a terminal would carry out escape sequences of a prompt or a file's name.
  private static func withoutControlCharacters(_ text: String) -> String {
    let kept = text.unicodeScalars.filter { scalar in
      scalar.properties.generalCategory != .control || scalar == "\n" || scalar == "\t"
    }
    return String(String.UnicodeScalarView(kept))
  }

  /// A prompt with spaces for its line breaks, which mean the same to CLIP's tokenizer.
  ///
  /// Readers take the lines up to `Negative prompt: ` for the prompt and the last line for the
  /// settings. A prompt with line breaks could contain such lines; A1111's format has no escape for
  /// them.
  private static func onOneLine(_ prompt: String) -> String {
    prompt.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
      .joined(separator: " ")
  }

  /// Parses the text, written by Decant or another program; `nil` if steps, seed or size are
  /// missing. Unknown members are ignored.
  package init?(text: String) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    guard let last = lines.popLast(), last.hasPrefix("Steps: ") else { return nil }
    let members = Self.members(of: last)
    let size = members["Size"]?.split(separator: "x").compactMap { Int($0) } ?? []
    guard let steps = members["Steps"].flatMap({ Int($0) }),
      let seed = members["Seed"].flatMap({ UInt64($0) }), size.count == 2
    else { return nil }
    let split = lines.firstIndex { $0.hasPrefix(Self.negativePrefix) } ?? lines.count
    prompt = lines[..<split].joined(separator: "\n")
    negativePrompt = String(
      lines[split...].joined(separator: "\n").dropFirst(Self.negativePrefix.count))
    self.steps = steps
    self.seed = seed
    (width, height) = (size[0], size[1])
    sampler = members["Sampler"] ?? ""
    guidanceScale = members["CFG scale"].flatMap { Double($0) } ?? 1
    model = members["Model"] ?? ""
    adapters = members[Self.adaptersMember].map(Self.adapters) ?? []
    version = members["Version"] ?? ""
    denoisingStrength = members["Denoising strength"].flatMap { Double($0) }
    isMasked = members["Mask blur"] != nil
    if let size = members["Batch size"].flatMap({ Int($0) }),
      let position = members["Batch pos"].flatMap({ Int($0) })
    {
      batch = Batch(size: size, position: position)
    }
  }

  /// A number as text, without a fraction if it is whole.
  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e9 ? String(Int(value)) : "\(value)"
  }

  private static func members(of batch: Batch) -> [(String, String)] {
    [("Batch size", String(batch.size)), ("Batch pos", String(batch.position))]
  }

  private static let negativePrefix = "Negative prompt: "
  private static let adaptersMember = "LoRA"

  /// Parses `style 0.8, detail 0.5`. A name may contain commas.
  private static func adapters(_ list: String) -> [Adapter] {
    var adapters: [Adapter] = []
    var name = ""
    for piece in list.split(separator: ", ", omittingEmptySubsequences: false) {
      name += (name.isEmpty ? "" : ", ") + piece
      guard let space = name.lastIndex(of: " "),
        let scale = Double(name[name.index(after: space)...])
      else { continue }
      adapters.append(Adapter(name: String(name[..<space]), scale: scale))
      name = ""
    }
    return adapters
  }

  /// A value, in quotes if it holds a separator, as in A1111.
  private static func quoted(_ value: String) -> String {
    value.contains { $0 == "," || $0 == ":" || $0 == "\n" } ? JSONValue.string(value).text() : value
  }

  /// Parses `Name: value, Name: "value, with comma"`.
  private static func members(of line: String) -> [String: String] {
    var members: [String: String] = [:]
    var rest = Substring(line)
    while let colon = rest.firstIndex(of: ":") {
      let name = rest[..<colon].drop { $0 == " " || $0 == "," }
      rest = rest[rest.index(after: colon)...].drop { $0 == " " }
      var end = rest.firstIndex(of: ",") ?? rest.endIndex
      var value = String(rest[..<end])
      if rest.first == "\"", let close = closingQuote(of: rest) {
        end = rest.index(after: close)
        value = (try? JSONValue(parsing: String(rest[..<end])))?.string ?? String(rest[..<end])
      }
      members[String(name)] = value
      rest = rest[end...].drop { $0 == "," }
    }
    return members
  }

  /// The closing quotation mark of the string that `text` begins with.
  private static func closingQuote(of text: Substring) -> Substring.Index? {
    var isEscaped = false
    for index in text.indices.dropFirst() {
      if isEscaped {
        isEscaped = false
      } else if text[index] == "\\" {
        isEscaped = true
      } else if text[index] == "\"" {
        return index
      }
    }
    return nil
  }
}
