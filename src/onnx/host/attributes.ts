import { LinbpError } from '../../errors.js';
import type { AttributeValue, HostTensor, OnnxGraph, OnnxNode } from '../types.js';

type Of<K extends AttributeValue['kind']> = Extract<AttributeValue, { readonly kind: K }>['value'];

/** Typed access to a node's attributes. Throws `bad-file` where one has another type. */
export class Attributes {
  private readonly node: OnnxNode;

  constructor(node: OnnxNode) {
    this.node = node;
  }

  private get<K extends AttributeValue['kind']>(name: string, kind: K): Of<K> | undefined {
    const attribute = this.node.attributes.get(name);
    if (attribute === undefined) return undefined;
    // An empty list has no type in some files.
    if (kind === 'ints' && attribute.kind === 'floats' && attribute.value.length === 0) return [] as never;
    if (attribute.kind !== kind) {
      throw new LinbpError('bad-file', `attribute ${name} must be of the kind ${kind}, got ${attribute.kind}`, {
        field: this.node.name,
      });
    }
    return attribute.value as never;
  }

  has(name: string): boolean {
    return this.node.attributes.has(name);
  }
  int(name: string, byDefault: number): number {
    return this.get(name, 'int') ?? byDefault;
  }
  float(name: string, byDefault: number): number {
    return this.get(name, 'float') ?? byDefault;
  }
  text(name: string, byDefault: string): string {
    return this.get(name, 'string') ?? byDefault;
  }
  ints(name: string): readonly number[] | undefined {
    return this.get(name, 'ints');
  }
  floats(name: string): readonly number[] | undefined {
    return this.get(name, 'floats');
  }
  tensor(name: string): HostTensor | undefined {
    return this.get(name, 'tensor')?.();
  }
  graph(name: string): OnnxGraph | undefined {
    return this.get(name, 'graph');
  }
}
