private import Foundation
package import Support
package import Tensors

/// How to write a model; `nil` uses the layout's default.
package struct WriteOptions: Sendable, Equatable {
  /// The variant in the names of weight files, as `fp16` in
  /// `diffusion_pytorch_model.fp16.safetensors`.
  package var variant: String?
  /// The largest size of one file of weights, in bytes.
  package var maxShardSize: Int?
  /// The name of the output profile: one of ``ModelWriter/profiles``.
  package var program: String?
  /// How blocks of a U-Net with removed layers are numbered.
  package var numbering: BlockNumbering?
  /// Whether numbers are compressed without loss where that saves space.
  package var codes: Bool?

  package init(
    variant: String? = nil, maxShardSize: Int? = nil, program: String? = nil,
    numbering: BlockNumbering? = nil, codes: Bool? = nil
  ) {
    self.variant = variant
    self.maxShardSize = maxShardSize
    self.program = program
    self.numbering = numbering
    self.codes = codes
  }

  /// The settings with a value that only some layouts have, each with the feature that it needs.
  package var layoutSettings: [(setting: Setting, feature: String)] {
    let settings: [(Setting, String, Bool)] = [
      (.outputVariant, "variants of weights", variant != nil),
      (.maximumShardSize, "shards", maxShardSize != nil),
      (.numbering, "block numbering", numbering != nil),
      (.coding, "lossless coding", codes != nil),
    ]
    return settings.filter(\.2).map { ($0.0, $0.1) }
  }
}

/// The numbering of blocks in the LDM layout, for U-Nets with removed layers.
package enum BlockNumbering: String, CaseIterable, Sendable {
  /// Consecutive numbers, as in diffusers and ComfyUI.
  case dense
  /// The numbers that the blocks would have with two layers in every level, as in diffusers'
  /// conversion script and stable-diffusion.cpp.
  case gap
}

/// Writes models in one layout, such as diffusers folders. A new layout is one file with a type
/// that conforms to this protocol, and one line in a list of writers.
package protocol ModelWriter: Sendable {
  /// The layout's name on the command line: `diffusers`, `decant`.
  var name: String { get }
  /// The layout's name in messages: `diffusers folder`.
  var layout: String { get }

  /// The programs that read this layout, the default first. Never empty.
  var profiles: [any OutputProfile] { get }

  /// The settings of ``WriteOptions/layoutSettings`` that this layout has.
  var settings: Set<Setting> { get }

  /// Whether a part of a model, such as a U-Net alone, can be written and read again.
  var holdsParts: Bool { get }

  /// Whether the name of an output stands for this layout.
  func claims(_ path: String) -> Bool

  /// A name that ``claims(_:)`` accepts: `stem` with the layout's ending.
  func outputName(stem: String) -> String

  /// Refuses a path or options that ``write(_:to:replacing:options:progress:)`` would refuse.
  /// Called before any computation.
  func check(_ path: String, options: WriteOptions) throws

  /// Writes the model completely or not at all.
  ///
  /// - Parameters:
  ///   - replacing: whether an existing file or folder at `path` may be replaced.
  ///   - progress: called with the bytes of weights written so far and in total.
  func write(
    _ model: ModelSource, to path: String, replacing: Bool, options: WriteOptions,
    progress: (_ done: Int, _ total: Int) -> Void) throws

  /// The bytes that a tensor takes in the output, where weights are coded without loss; `nil` where
  /// they are stored in the bytes of their encoding. Nothing is written.
  func codedByteCount(of tensor: StoredTensor, options: WriteOptions) -> Int?

  /// Whether ``record(parity:in:progress:)`` stores the results, for which it writes a second copy
  /// of the model before it replaces the first.
  var recordsParity: Bool { get }

  /// Stores the results of a verification in the model at `path`. Layouts without a field for them
  /// do nothing.
  ///
  /// - Parameter progress: called with the bytes copied so far and in total.
  func record(
    parity: JSONObject, in path: String, progress: (_ done: Int, _ total: Int) -> Void) throws
}

extension ModelWriter {
  package func check(_ path: String, options: WriteOptions) throws {
    if isFolder(path) { throw FileError(.create, path, EISDIR) }
  }

  package var settings: Set<Setting> { [] }
  package var holdsParts: Bool { false }
  package var recordsParity: Bool { false }

  package func codedByteCount(of tensor: StoredTensor, options: WriteOptions) -> Int? { nil }

  package func record(
    parity: JSONObject, in path: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {}

  /// The output profile of the options, or the default.
  package func profile(
    _ options: WriteOptions
  ) throws(OutputProfileError) -> any OutputProfile {
    guard let profile = profiles.first(where: { [nil, $0.name].contains(options.program) }) else {
      throw .unknown(
        program: options.program ?? "", layout: layout, known: profiles.map(\.name))
    }
    return profile
  }

  /// The layout in messages, with the program where its name says more: `GGUF file for ComfyUI`,
  /// `diffusers folder`.
  package func title(for profile: any OutputProfile) -> String {
    profile.name == name ? layout : "\(layout) for \(profile.programTitle)"
  }

  /// Refuses a model that the output's program cannot load. Reads configs and no weights, so that
  /// a job can call it before any long computation.
  package func checkLoadable(
    _ model: ModelSource, to path: String, options: WriteOptions
  ) throws(OutputProfileError) {
    let profile = try profile(options)
    guard let found = profile.refusal(model) else { return }
    throw .notLoadable(
      path: path, program: profile.title, found: found,
      others: profiles.filter { $0.refusal(model) == nil }.map(\.name))
  }
}
