private import Foundation
package import Support
package import Tensors

/// What a reader may choose from when a place holds more than one set of weights.
package struct ReadOptions: Sendable, Equatable {
  /// The variant of the weights, as in `diffusion_pytorch_model.fp16.safetensors`; `nil` is the
  /// plain one, or the only one there is.
  package var variant: String?
  /// Whether the exponential moving average of the weights is read, where a file holds both it and
  /// the weights of the last training step.
  package var ema: Bool

  package init(variant: String? = nil, ema: Bool = false) {
    self.variant = variant
    self.ema = ema
  }
}

/// One way in which models lie on disk, read. A layout is one file that conforms to this, and one
/// line in a list of readers.
package protocol ModelReader: Sendable {
  /// What messages call the layout: `diffusers folder`.
  var layout: String { get }

  /// Whether what stands at `path` looks like this layout, damaged or not. Names are no evidence.
  func recognizes(_ path: String) -> Bool

  /// The model. Weights are read when they are asked for.
  ///
  /// - Throws: an error whose description names the file, what was found, and what was expected.
  func read(_ path: String, options: ReadOptions) throws -> ModelSource

  /// Checks what reading every tensor does not: nothing, unless the layout has sums of its own.
  ///
  /// - Parameter progress: called with bytes checked so far, and in all.
  func check(_ path: String, progress: (_ done: Int, _ total: Int) -> Void) throws
}

extension ModelReader {
  package func check(_ path: String, progress: (_ done: Int, _ total: Int) -> Void) throws {}
}

/// A choice that some layouts leave to who writes them.
package enum WriteOption: String, CaseIterable, Sendable {
  /// The variant that files of weights are named after.
  case variant
  /// The size that no file of weights shall exceed.
  case maxShardSize = "max-shard-size"
  /// The program that shall read the file.
  case program = "for"
  /// How blocks of a U-Net with removed layers are numbered.
  case numbering
  /// Whether numbers are coded without loss where that saves space.
  case coding
}

/// What a user chose of how a model is written; `nil` is the layout's own choice.
package struct WriteOptions: Sendable, Equatable {
  package var variant: String?
  /// Bytes.
  package var maxShardSize: Int?
  /// One of ``ModelWriter/programs``.
  package var program: String?
  /// `dense` or `gap`.
  package var numbering: String?
  /// Whether numbers are coded without loss where that saves space.
  package var codes: Bool?

  package init(
    variant: String? = nil, maxShardSize: Int? = nil, program: String? = nil,
    numbering: String? = nil, codes: Bool? = nil
  ) {
    self.variant = variant
    self.maxShardSize = maxShardSize
    self.program = program
    self.numbering = numbering
    self.codes = codes
  }

  /// The options that were chosen.
  package var chosen: [WriteOption] {
    let values: [(WriteOption, Bool)] = [
      (.variant, variant != nil), (.maxShardSize, maxShardSize != nil), (.program, program != nil),
      (.numbering, numbering != nil), (.coding, codes != nil),
    ]
    return values.filter(\.1).map(\.0)
  }
}

/// One way in which models lie on disk, written. A layout is one file that conforms to this, and
/// one line in a list of writers.
package protocol ModelWriter: Sendable {
  /// The layout's name on the command line: `diffusers`, `decant`.
  var name: String { get }
  /// What messages call the layout: `diffusers folder`.
  var layout: String { get }

  /// What may be chosen of this layout.
  var choices: Set<WriteOption> { get }
  /// The programs that a file can be written for, the standard one first; none where it is all one.
  var programs: [String] { get }

  /// Whether a part of a model, a U-Net alone, can be written and read again.
  var holdsParts: Bool { get }

  /// Whether an output of this name is of this layout.
  func claims(_ path: String) -> Bool

  /// The encoding in which weights that are to be `encoding` are stored: itself where the layout has
  /// it, else the nearest that it has, `nil` where it has none.
  func accepted(_ encoding: TensorEncoding, options: WriteOptions) -> TensorEncoding?

  /// Whether the tensor of that name can be stored as `entry` says, which is an ``accepted(_:options:)``
  /// encoding; tensors that cannot are stored as plain numbers.
  func holds(
    _ entry: TensorEntry, of tensor: String, in component: String, options: WriteOptions
  ) -> Bool

  /// Refuses, before anything is computed, a place or choices that ``write`` would refuse.
  func check(_ path: String, options: WriteOptions) throws

  /// Writes the model whole or not at all.
  ///
  /// - Parameters:
  ///   - replacing: whether what stands at `path` may be replaced.
  ///   - progress: called with bytes of weights written so far, and in all.
  func write(
    _ model: ModelSource, to path: String, replacing: Bool, options: WriteOptions,
    progress: (_ done: Int, _ total: Int) -> Void) throws

  /// Puts the figures of a verification into what was written at `path`, where the layout has a
  /// place for them.
  ///
  /// - Parameter progress: called with bytes copied so far, and in all.
  func record(
    parity: JSONObject, in path: String, progress: (_ done: Int, _ total: Int) -> Void) throws
}

extension ModelWriter {
  package func check(_ path: String, options: WriteOptions) throws {
    if isFolder(path) { throw FileError(.create, path, EISDIR) }
  }

  package var choices: Set<WriteOption> { [] }
  package var programs: [String] { [] }
  package var holdsParts: Bool { false }

  package func record(
    parity: JSONObject, in path: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {}

  /// Plain numbers, and no others.
  package func accepted(_ encoding: TensorEncoding, options: WriteOptions) -> TensorEncoding? {
    encoding.isQuantized ? nil : encoding
  }

  package func holds(
    _ entry: TensorEntry, of tensor: String, in component: String, options: WriteOptions
  ) -> Bool { accepted(entry.encoding, options: options) == entry.encoding }
}
