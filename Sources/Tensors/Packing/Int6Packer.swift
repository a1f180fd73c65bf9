/// Stores int6 codes with two low bits apart.
struct Int6Packer: SplitPacker {
  let bits = 6
}
