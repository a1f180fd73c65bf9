/// Stores int5 codes with one low bit apart.
struct Int5Packer: SplitPacker {
  let bits = 5
}
