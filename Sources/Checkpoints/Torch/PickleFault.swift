package import Support

/// Why a pickle cannot be read.
package enum PickleFault: RemediableError, Equatable {
  case ends
  case beyondEnd(bytes: UInt64, available: Int)
  case unknownByte(UInt8)
  case unreadableOpcode(String)
  case newerProtocol(Int)
  case tooManyOpcodes(limit: Int)
  case longName(limit: Int)
  case tooManyGlobals(limit: Int)
  case text(TextFault)
  case emptyStack(String)
  case noMark(String)
  case noMemo(UInt64)
  /// An opcode with another kind of value on the stack than it takes.
  case wrongOperand(String, found: String, expected: String)
  case leftOnStack(Int)
  /// Bytes of the record after the end of the pickle.
  case trailingBytes(Int)
  /// A class or function that would run code, which only malicious files name.
  case runsCode(String)
  case unknownTensor(String)
  case wrongArguments(String, expected: String)
  case wrongStorage(String)
  case unknownNumbers(String)

  package var description: String {
    switch self {
    case .ends: "the pickle ends too early; the file is incomplete"
    case .beyondEnd(let bytes, let available):
      "expected \(bytes) bytes, only \(available) follow; the file is incomplete or damaged"
    case .unknownByte(let byte):
      "byte 0x\(hexadecimalText(byte)), which is not an opcode of a pickle; the file is damaged"
    case .unreadableOpcode(let name):
      "opcode \(name), which PyTorch never writes and Decant does not read"
    case .newerProtocol(let version):
      "protocol \(version) of Python's pickles, expected 0 to 5"
    case .tooManyOpcodes(let limit):
      "more than \(limit) opcodes, which no checkpoint needs; the file is damaged, or made to "
        + "exhaust memory"
    case .longName(let limit):
      "a name of more than \(limit) bytes; the file is damaged"
    case .tooManyGlobals(let limit):
      "names of more than \(limit) classes and functions, which no checkpoint needs"
    case .text(let fault): "a string that is \(fault); the file is damaged"
    case .emptyStack(let opcode): "opcode \(opcode) finds an empty stack; the file is damaged"
    case .noMark(let opcode): "opcode \(opcode) finds no mark; the file is damaged"
    case .noMemo(let index):
      "entry \(index) of the memo is used but was never written; "
        + "the file is damaged"
    case .wrongOperand(let opcode, let found, let expected):
      "opcode \(opcode) finds \(found), expected \(expected)"
    case .leftOnStack(let count): "\(count) values at its end, expected 1; the file is damaged"
    case .trailingBytes(let count): "\(count) bytes follow the pickle; the file is damaged"
    case .runsCode(let name):
      "the file calls '\(shown(name))', which would run code when Python loads it; no checkpoint "
        + "needs that, and Decant did not run it"
    case .unknownTensor(let name):
      "a tensor made by '\(shown(name))', which Decant does not read (such as sparse, quantized "
        + "and nested tensors)"
    case .wrongArguments(let name, let expected):
      "'\(shown(name))' has other arguments than \(expected); the file is damaged"
    case .unknownNumbers(let name):
      "numbers of '\(shown(name))', which Decant does not read (such as quantized numbers and complex "
        + "doubles)"
    case .wrongStorage(let found):
      "a storage \(found); the file is damaged"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .ends, .beyondEnd: .downloadAgain
    case .runsCode: .act("delete the file, and get the model as safetensors")
    case .unknownTensor, .unknownNumbers: .act("save plain tensors")
    default: nil
    }
  }
}

/// A fault with its offset in the file.
struct PickleError: Error, Equatable {
  let offset: Int
  let fault: PickleFault
}
