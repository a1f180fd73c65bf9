package import ModelSources
package import Support
package import Tensors

/// Decant itself, which reads every encoding in a `.decant` file.
struct PackfileProfile: OutputProfile {
  let name = "decant"
  let title = "Decant"
  var container: String { PackfileWriter().name }
  /// Weights stay as they are stored, in the memory of the processor; activations are float32.
  var memory: ProgramMemory { ProgramMemory(activationBytes: 4) }
  var usesGPU: Bool { false }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? { encoding }
}

/// Writes a model as one `.decant` file, in one pass and with bounded memory.
///
/// The same model gives the same bytes for every number of threads, with the same version of zlib.
package struct PackfileWriter: ModelWriter {
  package init() {}

  package var name: String { "decant" }
  package var layout: String { Packfile.layout }
  package var profiles: [any OutputProfile] { [PackfileProfile()] }
  package var settings: Set<Setting> { [.coding] }
  package var recordsParity: Bool { true }

  package func claims(_ path: String) -> Bool { path.lowercased().hasSuffix(".decant") }
  package func outputName(stem: String) -> String { stem + ".decant" }

  /// - Throws: ``PackfileError`` for a name that the manifest cannot hold, ``FileError``, errors of
  ///   the weights' source, or `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    try checkNames(of: model, path)
    let file = try ReplacingFile(path: path, replacing: replacing)
    let regions = RegionWriter(file, codes: options.codes ?? true)
    var manifest = Manifest(
      index: model.index, scheduler: model.scheduler, components: [], files: [], codecs: [],
      provenance: [:], parity: nil)

    let total =
      model.components.reduce(0) { $0 + $1.weights.byteCount }
      + model.files.reduce(0) { $0 + $1.bytes.count }
    var done = 0
    func advance(_ bytes: Int) {
      done += bytes
      progress(min(done, total), total)
    }

    try file.write(Frame.header)
    manifest.components = try write(model.components, to: regions, advance)
    for item in model.files {
      let region = try regions.append(
        item.bytes, crc: crc32(of: item.bytes.bytes), planes: 1, as: .text, advance: advance)
      manifest.files.append(Manifest.File(path: item.path, region: region))
    }
    manifest.codecs = regions.codecs.sorted()
    manifest.provenance = DefaultMarks.provenance(try model.completedProvenance(), marking: model)
    try file.finish(manifest)
  }

  package func codedByteCount(of tensor: StoredTensor, options: WriteOptions) -> Int? {
    options.codes == false ? nil : Packfiles.codedByteCount(of: tensor)
  }

  package func record(
    parity: JSONObject, in path: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    try Packfile.record(parity: parity, in: path, progress: progress)
  }

  private func write(
    _ components: [ModelSource.Component], to regions: RegionWriter, _ advance: (Int) -> Void
  ) throws -> [Manifest.Component] {
    var packed = components.map {
      Manifest.Component(name: $0.name, className: $0.className, config: $0.config, tensors: [])
    }
    let places = components.enumerated().flatMap { index, component in
      component.weights.names.map {
        (component: index, tensor: TensorPlace(source: component.weights, name: $0))
      }
    }
    try produceInOrder(costs: places.map(\.tensor.cost)) { index in
      let place = places[index].tensor
      let tensor = try place.source.tensor(place.name)
      return (tensor: tensor, crcs: tensor.parts.map { crc32(of: $0.bytes) })
    } consume: { index, made in
      let widths = made.tensor.encoding.numberWidths
      var written: [Manifest.Region] = []
      for (number, part) in made.tensor.parts.enumerated() {
        written.append(
          try regions.append(
            part, crc: made.crcs[number], planes: widths[number], as: .weights, advance: advance))
      }
      packed[places[index].component].tensors.append(
        Manifest.PackedTensor(
          name: places[index].tensor.name, entry: made.tensor.entry, regions: written))
    }
    return packed
  }

  /// Refuses names that the manifest cannot hold. Called before anything is written.
  private func checkNames(of model: ModelSource, _ location: String) throws(PackfileError) {
    func check(
      _ names: [String], _ rule: NameRules, _ kind: String, in place: String
    ) throws(PackfileError) {
      var seen: Set<String> = []
      for name in names {
        if !rule.accepts(name) {
          throw PackfileError(
            location,
            .unwritable(place: "the name of \(kind)", found: quoted(name), expected: rule.text))
        }
        if !seen.insert(name).inserted {
          throw PackfileError(location, .duplicate(place: place, name: name))
        }
      }
    }
    try check(model.components.map(\.name), .component, "a component", in: "the model")
    try check(model.files.map(\.path), .path, "a file", in: "the model")
    for component in model.components {
      let place = "component '\(component.name)'"
      try check(component.weights.names, .tensor, "a tensor of \(place)", in: place)
    }
  }
}
