//! Components that no toolchain makes: they are hard on whoever reads, joins or compiles them.

const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_HEADER: &[u8] = b"\0asm\x01\0\0\0";

const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
const COMPONENT_TYPES: u8 = 7;

/// A component inside of which another has a type that holds as many others, each within the one before.
pub fn deep_types(levels: usize) -> Vec<u8> {
    const A_TYPE_THAT_HAS_ONE_TYPE: [u8; 3] = [0x41, 1, 1];
    const A_TYPE_THAT_HAS_NOTHING: [u8; 2] = [0x41, 0];
    let ty = [
        &[1][..],
        &A_TYPE_THAT_HAS_ONE_TYPE.repeat(levels),
        &A_TYPE_THAT_HAS_NOTHING,
    ]
    .concat();
    let inside = [HEADER, &section(COMPONENT_TYPES, &ty)].concat();
    [HEADER, &section(COMPONENT, &inside)].concat()
}

/// `component` with a module that it does not use, one function of which has as many multiplications: a compiler takes long for it.
pub fn slow_to_compile(component: &[u8], multiplications: usize) -> Vec<u8> {
    const I64_CONST_3_MUL_CONST_5_XOR: [u8; 6] = [0x42, 3, 0x7e, 0x42, 5, 0x85];
    let types = section(1, &[1, 0x60, 0, 1, 0x7e]);
    let functions = section(3, &[1, 0]);
    let no_locals_const_1 = [0, 0x42, 1];
    let body = [
        &no_locals_const_1[..],
        &I64_CONST_3_MUL_CONST_5_XOR.repeat(multiplications),
        &[0x0b],
    ]
    .concat();
    let code = section(10, &[&[1][..], &leb(body.len()), &body].concat());
    let module = [CORE_HEADER, &types, &functions, &code].concat();
    [component, &section(CORE_MODULE, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A middleware as far as its names tell, as text: it imports a module with a function of an exact type, which those who join
/// components do not expect.
pub const EXACT_FUNCTION: &str = r#"(component
    (import "m" (core module (type $t (func)) (import "a" "b" (func (exact (type $t))))))
    (import "wasi:http/handler@0.3.0" (instance $i))
    (export "wasi:http/handler@0.3.0" (instance $i)))"#;
