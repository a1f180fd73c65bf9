import Foundation
import Testing

/// Rules for lists and modules. A family, a layout, a scheme or a scheduler is one file and one line in
/// a list, and no other code compares with its name.
struct ModuleRulesTests {
  struct List: Sendable, CustomTestStringConvertible {
    let members: String
    let declaration: String
    let list: String
    let line: String

    var testDescription: String { members }
  }

  /// Where the members of each list are declared, and the line that each member must have.
  static let lists: [List] = [
    List(
      members: "Sources/Models/Families", declaration: #"static let (\w+) = Family\("#,
      list: "Sources/Models/Family.swift", line: "    .%@,"),
    List(
      members: "Sources/Sampling/Schedulers", declaration: #"static let (\w+) = SchedulerKind\("#,
      list: "Sources/Sampling/Schedulers/Scheduler.swift", line: ".%@,"),
    List(
      members: "Sources/Quantization/Schemes", declaration: #"struct (\w+): (?:Integer)?Scheme \{"#,
      list: "Sources/Quantization/Schemes/Scheme.swift", line: "%@.all"),
    List(
      members: "Sources/Quantization/Rounding", declaration: #"struct (\w+): RoundingMethod \{"#,
      list: "Sources/Quantization/Rounding/RoundingMethod.swift", line: "    %@(),"),
    List(
      members: "Sources/Tensors/Packing", declaration: #"struct (\w+): CodePacker \{"#,
      list: "Sources/Tensors/Packing/CodePacker.swift", line: "%@()"),
    List(
      members: "Sources/Tensors/CodeFormats", declaration: #"struct (\w+): CodeNaming \{"#,
      list: "Sources/Tensors/CodeFormats/CodeNaming.swift", line: "    %@()"),
    List(
      members: "Sources/Packfiles/Codecs", declaration: #"struct (\w+): Codec \{"#,
      list: "Sources/Packfiles/Codecs/Codec.swift", line: "%@()"),
    List(
      members: "Sources/Checkpoints", declaration: #"struct (\w+): ModelReader \{"#,
      list: "Sources/Checkpoints/Readers.swift", line: "%@()"),
    List(
      members: "Sources/Checkpoints", declaration: #"struct (\w+): ModelWriter \{"#,
      list: "Sources/Checkpoints/Writers.swift", line: "%@()"),
    List(
      members: "Sources/Checkpoints", declaration: #"struct (\w+): ArchiveFormat \{"#,
      list: "Sources/Checkpoints/Archives.swift", line: "%@()"),
    List(
      members: "Sources/Checkpoints/Profiles", declaration: #"struct (\w+): OutputProfile \{"#,
      list: "Sources/Checkpoints/Profiles/OutputProfiles.swift", line: "    %@(),"),
    List(
      members: "Sources/Checkpoints/QuantizedForms",
      declaration: #"struct (\w+): QuantizedForm \{"#,
      list: "Sources/Checkpoints/QuantizedForms/QuantizedForm.swift", line: "    %@()"),
    List(
      members: "Sources/Checkpoints/QuantizedForms",
      declaration: #"struct (\w+): QuantizedFileForm \{"#,
      list: "Sources/Checkpoints/QuantizedForms/QuantizedForm.swift", line: "    %@()"),
    List(
      members: "Sources/ModelSources/Architectures",
      declaration: #"static let (\w+) = Architecture\("#,
      list: "Sources/ModelSources/Architectures/Architecture.swift", line: "    .%@,"),
    List(
      members: "Sources/Adapters/Kinds", declaration: #"struct (\w+): AdapterKind \{"#,
      list: "Sources/Adapters/Kinds/AdapterKind.swift", line: "%@()"),
    List(
      members: "Sources/Adapters/Namings", declaration: #"struct (\w+): AdapterNaming \{"#,
      list: "Sources/Adapters/Namings/AdapterNaming.swift", line: "%@()"),
    List(
      members: "Sources/Packfiles", declaration: #"struct (\w+): Model(?:Reader|Writer) \{"#,
      list: "Sources/Workflow/Reading.swift", line: "%@()"),
    List(
      members: "Formats/Tables", declaration: #"static let (\w+) = StripRecipe\("#,
      list: "Formats/Tables/Recipes.swift", line: "    %@,"),
    List(
      members: "Sources/Command", declaration: #"struct (\w+Command): (?:Job|Writing)Command\b"#,
      list: "Sources/Command/Decant.swift", line: "%@.self,"),
  ]

  @Test(arguments: lists)
  func everyMemberHasItsLine(list: List) throws {
    // The declaration of a member in the list's own file does not count as its line.
    let declaration = try Regex(list.declaration)
    let lines = try Repository.file(list.list).lines.filter { !$0.contains(declaration) }
    let members = try Repository.files(list.members).flatMap { try $0.captures(list.declaration) }
    #expect(!members.isEmpty)
    for member in members {
      let line = list.line.replacingOccurrences(of: "%@", with: member)
      #expect(lines.contains { $0.contains(line) }, "\(list.list) lacks '\(line)'")
    }
  }

  /// Every table of data is read by a source file.
  @Test func everyTableIsRead() throws {
    let sources = try Repository.files("Sources").map(\.text).joined()
    for table in try Repository.files("Formats/Tables") {
      let names = try table.captures(#"package (?:enum|struct) (\w+)"#)
      #expect(!names.isEmpty, "\(table) declares nothing")
      for name in names {
        #expect(sources.contains(name), "no source file reads \(name)")
      }
    }
  }

  /// The places that name families, schedulers, schemes and layouts, with those names.
  static func names() throws -> [(library: String, names: [String])] {
    func names(_ folder: String, _ pattern: String) throws -> [String] {
      try Repository.files(folder).flatMap { try $0.captures(pattern) }
    }
    let encodings = ["f32", "f16", "bf16", "int8", "int4"]
    return [
      ("Sources/Models/Families/", try names("Sources/Models/Families", #"name: "([^"]+)""#)),
      (
        "Sources/ModelSources/Architectures/",
        try names("Sources/ModelSources/Architectures", #"name: "([^"]+)""#)
      ),
      (
        "Sources/Sampling/Schedulers/",
        try names("Sources/Sampling/Schedulers", #"name: "([^"]+)""#)
          + names("Sources/Sampling/Schedulers", #"className: "([^"]+)""#)
      ),
      ("Sources/Tensors/TensorEncoding.swift", encodings),
      (
        "Sources/Quantization/Rounding/",
        try names("Sources/Quantization/Rounding", #"let name = "([^"]+)""#)
      ),
      (
        "Sources/Packfiles/",
        try names("Sources/Packfiles", #"var name: String \{ "([^"]+)""#)
      ),
      (
        "Sources/Checkpoints/",
        try names("Sources/Checkpoints", #"var name: String \{ "([^"]+)""#)
          + names("Sources/Checkpoints/Profiles", #"let name = "([^"]+)""#)
      ),
    ]
  }

  @Test func noCodeComparesWithNamesOfMembers() throws {
    let files = try Repository.files("Sources")
    for (library, names) in try Self.names() {
      #expect(!names.isEmpty, "\(library) names nothing")
      for file in files where !file.path.hasPrefix(library) {
        for name in names {
          for pattern in ["case \"\(name)\"", "== \"\(name)\"", "!= \"\(name)\""] {
            #expect(!file.text.contains(pattern), "\(file) has '\(pattern)'")
          }
        }
        for pattern in ["family.name ==", "family.name !=", "switch family", "switch model.family"]
        where !file.path.hasPrefix("Sources/Models/") {
          #expect(!file.text.contains(pattern), "\(file) has '\(pattern)'")
        }
      }
    }
  }

  /// Types and rounding methods have named values, such as `Schemes.half`. Outside their lists their
  /// names are neither defaults nor arguments; a member of a JSON object may have such a name.
  @Test func noCodeSpellsTypesAndMethods() throws {
    // SDNQ's own names of number types.
    let others = [
      "Sources/Checkpoints/QuantizedForms/SDNQ", "Sources/Checkpoints/Profiles/SDNQProfile",
    ]
    let libraries = [
      "Sources/Tensors/TensorEncoding.swift": [
        "Sources/Tensors/", "Sources/Quantization/Schemes/",
      ] + others,
      "Sources/Quantization/Rounding/": ["Sources/Quantization/Rounding/"],
    ]
    let files = try Repository.files("Sources")
    for (library, names) in try Self.names() {
      guard let places = libraries[library] else { continue }
      #expect(!names.isEmpty)
      for file in files where !places.contains(where: file.path.hasPrefix) {
        for name in names where file.text.contains("\"\(name)\"") {
          for line in file.lines where !line.isComment {
            let rest = line.replacing("\"\(name)\":", with: "")
            #expect(!rest.contains("\"\(name)\""), "\(file): \(line)")
          }
        }
      }
    }
  }

  /// Families, architectures and schedulers are found by properties or through their lists. Outside
  /// these no code has their names.
  @Test func noCodeSpellsFamiliesAndSchedulers() throws {
    let libraries = [
      "Sources/Models/Families/", "Sources/ModelSources/Architectures/",
      "Sources/Sampling/Schedulers/",
    ]
    let files = try Repository.files("Sources")
    for (library, names) in try Self.names() where libraries.contains(library) {
      for file in files where !file.path.hasPrefix(library) {
        for name in names where file.text.contains("\"\(name)\"") {
          for line in file.lines where !line.isComment {
            #expect(!line.contains("\"\(name)\""), "\(file): \(line)")
          }
        }
      }
    }
  }

  /// Key maps are data in Formats. Code only reads them.
  @Test func keyMapsAreInFormats() throws {
    let words = [
      "KeyRule(\"", "\"model.diffusion_model", "\"first_stage_model", "\"cond_stage_model",
      "\"conditioner.", "\"model_ema", "resblocks", "\"lora_te", "\"lora_unet", "hada_", "lokr_",
      "\".lora_down", "nin_shortcut", "skip_connection",
    ]
    for word in words {
      let tables = try Repository.files("Formats/Tables")
      #expect(tables.contains { $0.text.contains(word) }, "no table has '\(word)'")
      for file in try Repository.files("Sources") {
        #expect(!file.lines.contains { !$0.isComment && $0.contains(word) }, "\(file): '\(word)'")
      }
    }
  }

  /// One file names the components and tokenizers.
  @Test func componentsAreNamedInOnePlace() throws {
    let place = "Sources/ModelSources/ComponentName.swift"
    let names = try Repository.file(place).captures(#""(\w+)""#)
    #expect(names.count == 6)
    for file in try Repository.files("Sources") where file.path != place {
      for line in file.lines where !line.isComment {
        for name in names {
          #expect(!line.contains("\"\(name)\""), "\(file): \(line)")
        }
      }
    }
  }

  /// Only the list of layouts names Decant's own file; other code finds it through the list.
  @Test func onlyTheListNamesDecantsOwnFile() throws {
    for folder in ["Sources/Workflow", "Sources/Command"] {
      for file in try Repository.files(folder) where file.path != "Sources/Workflow/Reading.swift" {
        #expect(!file.text.contains("Packfile"), "\(file) names Packfile")
      }
    }
  }

  /// Only Tensors looks inside an encoding; other modules use its properties.
  @Test func onlyTensorsLooksInsideEncodings() throws {
    for file in try Repository.files("Sources") where !file.path.hasPrefix("Sources/Tensors/") {
      #expect(!file.text.contains("case .codes"), "\(file)")
    }
  }

  /// Only ``Architectures`` decides which architecture a model has. In Checkpoints, only the files
  /// that derive these members of a config from shapes name them.
  @Test func onlyArchitecturesRecognizeArchitectures() throws {
    let folder = "Sources/Checkpoints/SingleFile/"
    let deriving = ["UNetDerivation", "TextEncoderNames"].map { "\(folder)\($0).swift" }
    for file in try Repository.files("Sources/Checkpoints") where !deriving.contains(file.path) {
      for word in ["addition_embed_type", "hidden_act", "isXL:", "1024"] {
        #expect(!file.text.contains(word), "\(file) has '\(word)'")
      }
    }
  }

  /// `Package.swift` states exactly the imports of each module: every dependency is imported, and every
  /// import is a dependency.
  @Test func modulesStateTheirImports() throws {
    let package = try Repository.file("Package.swift").text
    let modules = Set(try Repository.file("Package.swift").captures(#"name: "(C?[A-Z]\w+)""#))
      .union(try Repository.file("Package.swift").captures(#"library\(\s*"(\w+)""#))
    var seen = 0
    for match in package.matches(
      of: #/(library|tests)\(\s*"(\w+)",\s*on: \[((?:[^\]]|\n)*)\]/#)
    {
      let isLibrary = match.1 == "library"
      let folder = isLibrary ? "Sources/\(match.2)" : "Tests/\(match.2)Tests"
      let stated = Set(
        String(match.3).replacing(#/package: "[^"]*"/#, with: "")
          .matches(of: #/"(\w+)"/#).map { String($0.1) })
      let imported = Set(
        try Repository.files(folder).flatMap { try $0.captures(#"(?m)^ *(?:\w+ )?import (\w+)$"#) })
      seen += 1
      // Tests run the program; they do not import it.
      let unused = stated.subtracting(imported).subtracting(["Command"])
      #expect(unused.isEmpty, "\(folder) does not import \(unused)")
      let unstated = imported.intersection(modules).subtracting(stated).subtracting(["TestSupport"])
      #expect(unstated.isEmpty, "\(folder) imports \(unstated)")
    }
    #expect(seen > 20)
  }
}
