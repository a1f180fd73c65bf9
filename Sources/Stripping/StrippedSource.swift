internal import ModelSources
internal import Support
package import Tensors

/// The tensors of a stripped U-Net, each read from the teacher on access: renamed or zeroed.
package struct StrippedSource: WeightSource {
  package let names: [String]
  private let teacher: any WeightSource
  private let origins: [String: StripPlan.Origin]

  init(_ plan: StripPlan, over teacher: any WeightSource) {
    self.teacher = teacher
    names = plan.origins.map(\.tensor)
    origins = Dictionary(uniqueKeysWithValues: plan.origins.map { ($0.tensor, $0) })
  }

  package var location: String { teacher.location }

  package func entry(_ name: String) -> TensorEntry? {
    origins[name].flatMap { teacher.entry($0.teacher) }
  }

  package func storedName(_ name: String) -> String {
    origins[name].map { teacher.storedName($0.teacher) } ?? name
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard let origin = origins[name] else {
      throw WeightError(location: location, tensor: name, found: "not part of the stripped model")
    }
    guard origin.isZeroed else { return try teacher.tensor(origin.teacher) }
    guard let entry = teacher.entry(origin.teacher),
      let sizes = entry.encoding.partSizes(for: entry.shape)
    else {
      throw WeightError(location: location, tensor: origin.teacher, found: "missing")
    }
    // Zero bytes are the number 0 in every element kind and the code 0 in every scheme.
    return StoredTensor(
      shape: entry.shape, encoding: entry.encoding,
      parts: sizes.map { ByteSlice([UInt8](repeating: 0, count: $0)) })
  }
}
