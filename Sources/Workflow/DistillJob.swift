private import Checkpoints
private import Foundation
internal import ModelSources
internal import Models
private import Sampling
internal import Support
internal import Tensors

/// Writes a folder with all that the distillation of a student takes: student and teacher, captions,
/// settings and the scripts of the training.
package struct DistillJob: Job {
  private let teacher: String
  private let student: String
  private let promptsPath: String?
  private let output: String
  private let isLinking: Bool
  private let replacing: Bool

  /// - Parameters:
  ///   - prompts: the file of the captions, as for `Prompt`; `nil` takes Decant's own prompts.
  ///   - isLinking: whether models that are diffusers folders are linked instead of copied.
  ///   - replacing: whether an existing kit is replaced. One with results never is.
  package init(
    teacher: String, student: String, prompts: String? = nil, output: String,
    isLinking: Bool = false, replacing: Bool = false
  ) {
    self.teacher = teacher
    self.student = student
    promptsPath = prompts
    self.output = output
    self.isLinking = isLinking
    self.replacing = replacing
  }

  package func perform(_ events: @escaping EventSink) async throws -> DistillationKit {
    try refuseFolder(
      output, of: "new kit", names: DistillationKit.names, replacing: replacing,
      inputs: [teacher, student] + [promptsPath].compactMap { $0 })
    let captions = try Self.captions(promptsPath)
    let models = try [
      (teacher, DistillationKit.teacherName), (student, DistillationKit.studentName),
    ].map { path, name in try KitModel(path, name, in: output, isLinking: isLinking, events) }
    let (teacher, student) = (models[0], models[1])
    try teacher.checkTeaches()
    try student.check(against: teacher)
    try requireSpace(models.reduce(0) { $0 + $1.copiedBytes }, for: output)
    if student.part.parameters >= teacher.part.parameters {
      events(
        .note(
          "the student's U-Net has \(formatted(count: student.part.parameters)) parameters, as many as the "
            + "teacher's \(formatted(count: teacher.part.parameters)) or more; the teacher is named first"
        ))
    }
    if captions.count < Self.fewCaptions {
      events(
        .note(
          "the kit has \(counted(captions.count, "caption")); a student learns what the captions "
            + "show, and models of full size need thousands",
          remedy: .choose(.prompts, purpose: "with more captions")))
    }

    let settings = DistillationKit.settings(for: teacher.bound)
    let texts = [
      (DistillationKit.captionsName, captions.joined(separator: "\n") + "\n"),
      (DistillationKit.settingsName, JSONValue.object(settings).text(indent: 2) + "\n"),
    ]
    let files = DistillationKit.commonFiles + texts.map { ($0, Array($1.utf8)) }
    let staged = StagedOutputs(replacing: replacing)
    try staged.write(output) { place in
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
      for model in models { try model.write(in: place, events) }
      for (name, bytes) in files {
        let file = try ReplacingFile(path: place + "/" + name, replacing: false)
        try file.write(bytes)
        try file.commit()
      }
    }
    try Cancellation.check()
    try staged.commit()
    return DistillationKit(
      path: output, teacher: teacher.part, student: student.part, captions: captions.count,
      settings: settings,
      bytes: files.reduce(0) { $0 + $1.bytes.count } + models.reduce(0) { $0 + $1.writtenBytes })
  }

  /// Fewer captions than this have a note.
  private static let fewCaptions = 1000

  /// The captions, each as one line. The training skips lines that begin with `#`.
  private static func captions(_ path: String?) throws -> [String] {
    try [Prompt](path: path).map { prompt in
      let line = prompt.prompt.split(whereSeparator: \.isNewline).joined(separator: " ")
      return line.hasPrefix("#") ? " " + line : line
    }.filter { !$0.allSatisfy(\.isWhitespace) }
  }
}

/// A model that goes into a kit.
private struct KitModel {
  let bound: Model
  let name: String
  let output: OutputRequest
  let writer: any ModelWriter
  let isLink: Bool

  init(
    _ path: String, _ name: String, in kit: String, isLinking: Bool, _ events: EventSink
  ) throws {
    let source = try ModelSource.reading(
      path, InputOptions(), keepingKinds: true, changes: .noted, events)
    self.name = name
    bound = try Model.bind(source)
    writer = DiffusersFolderWriter()
    output = OutputRequest(
      path: folderPath(kit) + "/" + name, layout: LayoutRequest(kind: writer.name))
    try output.checkLoadable(source, by: writer)
    try output.checkEncodings(source, by: writer, offersTypes: false)
    // The training loads the plain variant.
    let isFolder =
      source.layout == DiffusersFolderReader().layout && source.provenance["variants"] == nil
    isLink = isLinking && isFolder
    if isLinking, !isFolder {
      events(.note("\(path) is not a diffusers folder that the training can load; it is copied"))
    }
  }

  private var source: ModelSource { bound.source }

  var copiedBytes: Int {
    isLink ? 0 : leastBytes(of: source.components, isCoded: false)
  }

  /// Bytes of the model in the kit that was written.
  var writtenBytes: Int { isLink ? 0 : output.byteCount }

  var part: DistillationKit.Part {
    DistillationKit.Part(
      name: name, model: source.location,
      parameters: bound.weights(of: ComponentName.unet).parameterCount, isLink: isLink)
  }

  /// What student and teacher must have in common.
  private var facts: [(name: String, value: String)] {
    [
      ("architecture", bound.family.architecture.name),
      ("latent channels", "\(bound.vae.latentChannels)"),
      ("scaling factor of the latents", "\(bound.vae.scalingFactor)"),
      ("input channels of the U-Net", "\(bound.unet.inChannels)"),
      ("output channels of the U-Net", "\(bound.unet.outChannels)"),
      ("width of the text", "\(bound.unet.textWidth)"),
      ("prediction type", prediction.rawValue),
    ]
  }

  private var prediction: PredictionType { PredictionType(scheduler: bound.scheduler) }

  /// - Throws: ``JobError`` for a model that the training cannot make images with.
  func checkTeaches() throws {
    let (input, latent) = (bound.unet.inChannels, bound.vae.latentChannels)
    if input != latent {
      throw JobError(
        "\(source.location): the U-Net takes \(input) channels, but the training has only the "
          + "\(latent) of the latents")
    }
    if bound.family.architecture.timeIDs == .sizesAndScore {
      throw JobError(
        "\(source.location): is a refiner, which does not begin with noise as the training does")
    }
    if prediction == .sample {
      throw JobError(
        "\(source.location): the U-Net predicts the sample; the training expects "
          + alternatives([PredictionType.epsilon, .velocity].map(\.rawValue)))
    }
  }

  /// - Throws: ``JobError`` for a student that cannot learn the predictions of the teacher.
  func check(against teacher: KitModel) throws {
    for (own, expected) in zip(facts, teacher.facts) where own.value != expected.value {
      throw JobError(
        "\(source.location): \(own.name) \(own.value), but \(expected.value) in the teacher "
          + teacher.source.location, remedy: .act("use a student that was made from the teacher"))
    }
  }

  /// Writes the model, or a link to it, into the kit's folder.
  func write(in folder: String, _ events: EventSink) throws {
    let place = folder + "/" + name
    guard isLink else { return try output.write(source, by: writer, to: place, events) }
    let target = URL(fileURLWithPath: source.location).resolvingSymlinksInPath().path
    try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: target)
  }
}
