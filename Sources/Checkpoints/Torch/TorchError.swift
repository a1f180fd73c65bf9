internal import ModelSources
package import Support

/// Why a PyTorch file cannot be read.
package enum TorchError: RemediableError, Equatable {
  case unreadable(FileError)
  /// A file that Git LFS left in place of the weights.
  case pointer(path: String)
  /// A ZIP archive that is damaged, or of a form that PyTorch does not write.
  case archive(path: String, ZIPFault)
  /// A ZIP archive into which a folder or a file of a model was packed.
  case packedModel(path: String, entry: String, isFolder: Bool)
  /// A pickle that is damaged or refused.
  case pickle(path: String, record: String, offset: Int, PickleFault)
  /// A pickle that is larger than those of known models.
  case pickleTooLarge(path: String, record: String, bytes: Int, limit: Int)
  /// A file that does not begin like one of PyTorch's.
  case notTorch(path: String, found: String)
  case missingRecord(path: String, record: String, found: [String])
  case wrongChecksum(path: String, record: String, expected: UInt32, found: UInt32)
  case bigEndian(path: String, found: String)
  case notDictionary(path: String, found: String)
  case noTensors(path: String, found: [String])
  case tooManyTensors(path: String, limit: Int)
  case longName(path: String, name: String, limit: Int)
  case duplicateTensor(path: String, tensor: String)
  /// Dictionaries that contain themselves, or that are nested too often.
  case endless(path: String)
  /// A tensor that its storage cannot hold.
  case tensor(path: String, tensor: String, reason: String)
  case storage(path: String, storage: String, reason: String)
  /// The file ends before the last byte of a storage.
  case storageTruncated(path: String, storage: String, bytes: Int, available: Int)
  case tooMuch(path: String, tensor: String, bytes: Int, limit: Int)
  case trailingBytes(path: String, count: Int)

  package var description: String {
    switch self {
    case .unreadable(let error): error.description
    case .pointer(let path): gitLFSPointer(path)
    case .archive(let path, let fault): "\(path): \(fault)"
    case .packedModel(let path, let entry, _):
      "\(path): a ZIP archive with a model in it ('\(shown(entry))'), expected a file of torch.save"
    case .pickle(let path, let record, let offset, let fault):
      "\(path): \(record), byte \(offset): \(fault)"
    case .pickleTooLarge(let path, let record, let bytes, let limit):
      "\(path): '\(shown(record))' has \(bytes) bytes, expected at most \(limit)"
    case .notTorch(let path, let found):
      "\(path): \(found), expected a file of torch.save"
    case .missingRecord(let path, let record, let found):
      "\(path): the ZIP archive holds no '\(shown(record))', which PyTorch files have; it holds "
        + listed(found)
    case .wrongChecksum(let path, let record, let expected, let found):
      "\(path): '\(shown(record))' has the checksum \(hexadecimalText(found)), the archive's "
        + "directory has \(hexadecimalText(expected)); the file is damaged"
    case .bigEndian(let path, let found):
      "\(path): numbers are stored in the byte order '\(shown(found))', expected 'little'"
    case .notDictionary(let path, let found):
      "\(path): the file holds \(found), expected a dictionary of tensors"
    case .noTensors(let path, let found):
      "\(path): "
        + (ForeignKind(names: found).map { "\($0.description); it holds " }
          ?? "no tensors; the file holds ") + listed(found)
    case .tooManyTensors(let path, let limit):
      "\(path): more than \(limit) tensors, which no model has; the file is damaged, or made to "
        + "exhaust memory"
    case .longName(let path, let name, let limit):
      "\(path): the name '\(shown(name))' has more than \(limit) bytes; the file is damaged, or made "
        + "to exhaust memory"
    case .duplicateTensor(let path, let tensor):
      "\(path): two tensors have the name '\(shown(tensor))', expected one"
    case .endless(let path):
      "\(path): dictionaries contain themselves; the file is damaged, or made to "
        + "exhaust memory"
    case .tensor(let path, let tensor, let reason):
      "\(path): tensor '\(shown(tensor))': \(reason)"
    case .storage(let path, let storage, let reason):
      "\(path): storage '\(shown(storage))': \(reason)"
    case .storageTruncated(let path, let storage, let bytes, let available):
      "\(path): storage '\(shown(storage))': takes \(bytes) bytes, only \(available) follow; "
        + "the file is incomplete"
    case .tooMuch(let path, let tensor, let bytes, let limit):
      "\(path): tensor '\(shown(tensor))': with it the tensors take \(bytes) bytes, more than the "
        + "\(limit) that a file of this size may hold; it is made to exhaust disks"
    case .trailingBytes(let path, let count):
      "\(path): \(counted(count, "byte")) \(count == 1 ? "follows" : "follow") the last storage; "
        + "the file is damaged"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .pointer: .pullFromGitLFS
    case .archive(_, let fault): fault.remedy
    case .pickle(_, _, _, let fault): fault.remedy
    case .storageTruncated: .downloadAgain
    case .packedModel(_, _, let isFolder):
      .act("unpack it and name the \(isFolder ? "folder" : "file")")
    case .bigEndian: .act("save the file on a little-endian machine")
    case .notDictionary: .act("save the model's state_dict()")
    case .noTensors(_, let found): ForeignKind(names: found).map { .act($0.remedy) }
    default: nil
    }
  }
}
