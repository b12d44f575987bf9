/** MessagePack, as far as the protocol needs it: everything but extension types and 64-bit integers
 * beyond what a number holds. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const FIRST_BYTES = 256;

/**
 * @param {unknown} value null, booleans, numbers, strings, Uint8Array, arrays and plain objects.
 *     Keys whose value is undefined are left out.
 * @returns {Uint8Array}
 */
export function encode(value) {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes();
}

/**
 * @param {ArrayBuffer | Uint8Array} bytes one value. Binary values in it are views of these bytes.
 * @returns {unknown}
 * @throws {RangeError} if the bytes are not exactly one value
 */
export function decode(bytes) {
  const reader = new Reader(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes));
  const value = reader.value();
  if (reader.left !== 0) throw new RangeError("bytes follow the MessagePack value");
  return value;
}

class Writer {
  #buffer = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#buffer.buffer);
  #size = 0;

  bytes() {
    return this.#buffer.slice(0, this.#size);
  }

  value(value) {
    if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#string(encoder.encode(value));
    else if (value instanceof Uint8Array) this.#binary(value);
    else if (Array.isArray(value)) this.#array(value);
    else this.#map(Object.entries(value).filter(([, item]) => item !== undefined));
  }

  #number(value) {
    if (!Number.isSafeInteger(value)) this.#put(0xcb, 8, (at) => this.#view.setFloat64(at, value));
    else if (value >= 0) this.#unsigned(value);
    else this.#signed(value);
  }

  #unsigned(value) {
    if (value < 0x80) this.#byte(value);
    else if (value < 0x100) this.#put(0xcc, 1, (at) => this.#view.setUint8(at, value));
    else if (value < 0x10000) this.#put(0xcd, 2, (at) => this.#view.setUint16(at, value));
    else if (value < 0x100000000) this.#put(0xce, 4, (at) => this.#view.setUint32(at, value));
    else this.#put(0xcf, 8, (at) => this.#view.setBigUint64(at, BigInt(value)));
  }

  #signed(value) {
    if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#put(0xd0, 1, (at) => this.#view.setInt8(at, value));
    else if (value >= -0x8000) this.#put(0xd1, 2, (at) => this.#view.setInt16(at, value));
    else if (value >= -0x80000000) this.#put(0xd2, 4, (at) => this.#view.setInt32(at, value));
    else this.#put(0xd3, 8, (at) => this.#view.setBigInt64(at, BigInt(value)));
  }

  #string(bytes) {
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else this.#length(bytes.length, 0xd9, 0xda, 0xdb);
    this.#append(bytes);
  }

  #binary(bytes) {
    this.#length(bytes.length, 0xc4, 0xc5, 0xc6);
    this.#append(bytes);
  }

  #array(items) {
    if (items.length < 16) this.#byte(0x90 | items.length);
    else this.#length(items.length, null, 0xdc, 0xdd);
    for (const item of items) this.value(item);
  }

  #map(entries) {
    if (entries.length < 16) this.#byte(0x80 | entries.length);
    else this.#length(entries.length, null, 0xde, 0xdf);
    for (const [key, item] of entries) {
      this.value(key);
      this.value(item);
    }
  }

  #length(length, in8, in16, in32) {
    if (in8 !== null && length < 0x100) this.#put(in8, 1, (at) => this.#view.setUint8(at, length));
    else if (length < 0x10000) this.#put(in16, 2, (at) => this.#view.setUint16(at, length));
    else this.#put(in32, 4, (at) => this.#view.setUint32(at, length));
  }

  #byte(byte) {
    this.#reserve(1);
    this.#buffer[this.#size++] = byte;
  }

  #put(type, size, write) {
    this.#byte(type);
    this.#reserve(size);
    write(this.#size);
    this.#size += size;
  }

  #append(bytes) {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  #reserve(size) {
    if (this.#size + size <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#size + size, 2 * this.#buffer.length));
    larger.set(this.#buffer);
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }
}

class Reader {
  #bytes;
  #view;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  value() {
    const type = this.#take(1, (at) => this.#view.getUint8(at));
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f);
    if (type < 0xa0) return this.#array(type & 0x0f);
    if (type < 0xc0) return this.#string(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    const read = READERS[type];
    if (!read) throw new RangeError(`MessagePack type 0x${type.toString(16)} is not in use here`);
    return read(this);
  }

  number(size, method) {
    return this.#take(size, (at) => Number(this.#view[method](at)));
  }

  string = (size) => this.#string(this.#length(size));
  binary = (size) => this.#slice(this.#length(size));
  array = (size) => this.#array(this.#length(size));
  map = (size) => this.#map(this.#length(size));

  #length(size) {
    return this.number(size, { 1: "getUint8", 2: "getUint16", 4: "getUint32" }[size]);
  }

  #string(length) {
    return decoder.decode(this.#slice(length));
  }

  #array(length) {
    const items = [];
    for (let i = 0; i < length; i++) items.push(this.value());
    return items;
  }

  #map(length) {
    const entries = [];
    for (let i = 0; i < length; i++) entries.push([this.value(), this.value()]);
    return Object.fromEntries(entries);
  }

  #slice(length) {
    return this.#take(length, (at) => this.#bytes.subarray(at, at + length));
  }

  #take(size, read) {
    if (size > this.left) throw new RangeError("the MessagePack value is cut off");
    const at = this.#at;
    this.#at += size;
    return read(at);
  }
}

const READERS = {
  0xc0: () => null,
  0xc2: () => false,
  0xc3: () => true,
  0xc4: (reader) => reader.binary(1),
  0xc5: (reader) => reader.binary(2),
  0xc6: (reader) => reader.binary(4),
  0xca: (reader) => reader.number(4, "getFloat32"),
  0xcb: (reader) => reader.number(8, "getFloat64"),
  0xcc: (reader) => reader.number(1, "getUint8"),
  0xcd: (reader) => reader.number(2, "getUint16"),
  0xce: (reader) => reader.number(4, "getUint32"),
  0xcf: (reader) => reader.number(8, "getBigUint64"),
  0xd0: (reader) => reader.number(1, "getInt8"),
  0xd1: (reader) => reader.number(2, "getInt16"),
  0xd2: (reader) => reader.number(4, "getInt32"),
  0xd3: (reader) => reader.number(8, "getBigInt64"),
  0xd9: (reader) => reader.string(1),
  0xda: (reader) => reader.string(2),
  0xdb: (reader) => reader.string(4),
  0xdc: (reader) => reader.array(2),
  0xdd: (reader) => reader.array(4),
  0xde: (reader) => reader.map(2),
  0xdf: (reader) => reader.map(4),
};
