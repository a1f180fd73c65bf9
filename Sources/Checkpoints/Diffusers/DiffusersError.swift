package import ModelSources
package import Support
internal import Tensors

/// Why a folder is not a valid diffusers model.
package enum DiffusersError: RemediableError, Equatable {
  case unreadable(FileError)
  /// A file that was not downloaded, or not to its end.
  case absent(LayoutError)
  /// The branch of a cached repository leads to a commit that is not there.
  case missingSnapshot(branch: String, commit: String, found: [String])
  /// A cached repository without a branch `main`, and with no commit or several.
  case ambiguousSnapshot(folder: String, found: [String])
  /// A cache of the Hugging Face hub with more than one model.
  case severalRepositories(folder: String, found: [String])
  /// A folder without `model_index.json`; `found` lists its contents.
  case missingIndex(folder: String, found: [String])
  case notJSON(path: String, JSONError)
  /// Something else in place of a JSON text, such as an HTML page.
  case otherFile(path: String, found: String)
  /// A JSON text in UTF-16.
  case wideText(path: String)
  case notObject(path: String, found: String)
  case malformedEntry(path: String, member: String)
  case malformedProvenance(path: String, member: String, found: String, expected: String)
  /// Components that the index does not list.
  case missingComponents(folder: String, missing: [String], listed: [String])
  case missingFolder(folder: String, component: String)
  /// Here and below, `folder` is the folder of the component.
  case missingFile(folder: String, component: String, lookedFor: [String], found: [String])
  case ambiguousVariant(folder: String, component: String, found: [String])
  case malformedShardIndex(path: String, found: String)
  case missingShard(index: String, shard: String)
  case missingShardIndex(folder: String, shard: String, lookedFor: String)
  case repeatedTensor(index: String, tensor: String, shards: [String])
  case absentFromShard(index: String, tensor: String, shard: String)
  case absentFromIndex(index: String, tensor: String, shard: String)
  case collision(path: String, tensor: String, first: String, second: String)
  /// The folder of one component, of an unknown class.
  case unknownClass(folder: String, found: String?, known: [String])
  /// A pipeline or a component of a class that Decant knows and does not read. `path` is the file
  /// that names the class.
  case foreign(path: String, className: String, kind: ForeignKind)
  /// The moving average was requested of a folder, which holds one set of weights.
  case averaged(folder: String)
  /// Weights in a quantized form that Decant does not read.
  case quantized(path: String, found: String, expected: String)

  package var description: String {
    switch self {
    case .unreadable(let error):
      return error.description
    case .absent(let error):
      return error.description
    case .missingSnapshot(let branch, let commit, let found):
      return "\(branch): leads to the snapshot '\(shown(commit))', which does not exist; "
        + "found \(listed(found))"
    case .ambiguousSnapshot(let folder, let found):
      return "\(folder): the cached repository has no refs/main and "
        + (found.isEmpty ? "no snapshot" : "several snapshots: \(listed(found))")
    case .severalRepositories(let folder, let found):
      return "\(folder): the cache has more than one model: \(listed(found))"
    case .missingIndex(let folder, let found):
      return "\(folder): no model_index.json, which a diffusers folder has; "
        + "the folder holds \(listed(found))"
    case .notJSON(let path, let error):
      return "\(path): invalid JSON: \(error)"
    case .otherFile(let path, let found):
      return "\(path): the file is \(found), not JSON"
    case .wideText(let path):
      return "\(path): the file is a text in UTF-16, not JSON in UTF-8"
    case .notObject(let path, let found):
      return "\(path): the file holds \(found), expected an object"
    case .malformedEntry(let path, let member):
      return "\(path): '\(shown(member))' is not a pair of library and class, or of two nulls"
    case .malformedProvenance(let path, let member, let found, let expected):
      return
        "\(path): '\(member)' is \(found), expected \(expected)"
    case .missingComponents(let folder, let missing, let found):
      return "\(folder)/model_index.json: no \(listed(missing)), which every model needs; "
        + "listed are \(listed(found))"
    case .missingFolder(let folder, let component):
      return "\(folder): component '\(component)' is listed in model_index.json, but there is no "
        + "folder \(folder)/\(component)"
    case .missingFile(let folder, let component, let lookedFor, let found):
      return "\(folder): component '\(component)' has no "
        + "\(lookedFor.joined(separator: " or ")); the folder holds \(listed(found))"
    case .ambiguousVariant(let folder, let component, let found):
      return "\(folder): component '\(component)' has no plain weights and more than "
        + "one variant, \(listed(found))"
    case .malformedShardIndex(let path, let found):
      return "\(path): \(found); a shard index holds 'weight_map', file names by tensor"
    case .missingShard(let index, let shard):
      return "\(index): shard '\(shown(shard))' is listed and does not exist"
    case .missingShardIndex(let folder, let shard, let lookedFor):
      return "\(folder): shard '\(shown(shard))' has no index, "
        + "expected '\(lookedFor)' beside it"
    case .repeatedTensor(let index, let tensor, let shards):
      return "\(index): tensor '\(shown(tensor))' is in two shards, \(listed(shards)), "
        + "expected one"
    case .absentFromShard(let index, let tensor, let shard):
      return "\(index): tensor '\(shown(tensor))' is listed for '\(shown(shard))', which does "
        + "not hold it"
    case .absentFromIndex(let index, let tensor, let shard):
      return "\(index): tensor '\(shown(tensor))' of shard '\(shown(shard))' is not listed"
    case .collision(let path, let tensor, let first, let second):
      return "\(path): tensors '\(shown(first))' and '\(shown(second))' are both "
        + "'\(shown(tensor))', expected one"
    case .unknownClass(let folder, let found, let known):
      return "\(folder)/config.json: "
        + (found.map { "a component of class '\(shown($0))'" } ?? "no class of the component")
        + "; expected \(alternatives(known))"
    case .foreign(let path, let className, let kind):
      return "\(path): '\(shown(className))' is the class of \(kind.description)"
    case .averaged(let folder):
      return
        "\(folder): a diffusers folder holds one set of weights, without a moving average beside it"
    case .quantized(let path, let found, let expected):
      return "\(path): the weights are quantized by \(found); expected \(expected)"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .absent(let error): error.remedy
    case .missingSnapshot: .downloadAgain
    case .ambiguousSnapshot(let folder, let found):
      found.isEmpty
        ? .downloadAgain : .act("name one of them, such as \(folder)/snapshots/\(found[0])")
    case .severalRepositories(let folder, let found):
      .act("name one of them, such as \(folder)/\(found[0])")
    case .missingIndex(let folder, _):
      nameAModelFile(in: folder) ?? .act("name the folder of the whole pipeline")
    case .missingComponents(_, let missing, _): Self.adding(missing)
    // The links of a snapshot are made when their files are complete.
    case .missingFolder(let folder, let component), .missingFile(let folder, let component, _, _):
      HubCache.isInSnapshot(folder) ? .downloadAgain : Self.adding([component])
    case .malformedProvenance: .act("delete the file if the model's history does not matter")
    case .ambiguousVariant(_, _, let found): .choose(.variant, found)
    case .notJSON, .otherFile, .missingShard, .missingShardIndex, .absentFromShard: .downloadAgain
    case .wideText: .act("save it in UTF-8")
    case .averaged: .leaveOut(.ema)
    case .quantized: .readOriginal
    case .foreign(_, _, let kind): .act(kind.remedy)
    default: nil
    }
  }

  /// The remedy that adds components. A scheduler and a tokenizer come with their model only.
  private static func adding(_ components: [String]) -> Remedy {
    let settings = components.compactMap(ComponentName.setting)
    return settings.count == components.count ? .addComponents(settings) : .downloadAgain
  }
}
