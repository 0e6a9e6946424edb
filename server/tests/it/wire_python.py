"""The other side of wire_python.rs: what Python itself makes of numbers, lines and pickles.

Reads one JSON document from stdin, answers with one on stdout. The rules for items and lines are
carbon's (protocols.py), with the refusals by item and by line that Benzene has in their place.
Doubles travel as the hexadecimal of their bytes, frames as hexadecimal.
"""
import io
import json
import pickle
import random
import struct
import sys
import unicodedata


def bits(value):
    return struct.pack('>d', value).hex()


def number(text):
    try:
        return bits(float(text))
    except ValueError:
        return None


def stamp(seconds):
    """A stamp as Benzene has it: 'now', whole seconds, or None."""
    try:
        seconds = int(seconds)
    except (ValueError, OverflowError):
        return None
    if seconds == -1:
        return 'now'
    return seconds if 0 <= seconds < 1 << 32 else None


def line(raw):
    try:
        fields = raw.decode('utf-8').strip().split()
    except UnicodeDecodeError:
        return 'Utf8'
    if len(fields) != 3:
        return 'Fields'
    try:
        value = float(fields[1])
    except ValueError:
        return 'Value'
    try:
        seconds = float(fields[2])
    except ValueError:
        return 'Timestamp'
    if value != value:
        return 'Nan'
    if stamp(seconds) is None:
        return 'Timestamp'
    return [fields[0], stamp(seconds), bits(value)]


def pair(thing):
    if not isinstance(thing, (list, tuple)) or len(thing) != 2:
        raise LookupError
    return thing


def item(raw):
    try:
        name, point = pair(raw)
        seconds, value = pair(point)
    except LookupError:
        return 'Item'
    try:
        seconds = float(seconds)
    except (ValueError, TypeError, OverflowError):
        return 'Timestamp'
    try:
        value = float(value)
    except (ValueError, TypeError, OverflowError):
        return 'Value'
    if not isinstance(name, str):
        return 'Item'
    try:
        name.encode('utf-8')
    except UnicodeEncodeError:
        return 'Utf8'
    if value != value:
        return 'Nan'
    if stamp(seconds) is None:
        return 'Timestamp'
    return [name, stamp(seconds), bits(value)]


class Python2Pickler(pickle._Pickler):
    """Writes every str as Python 2 writes its byte strings."""
    dispatch = dict(pickle._Pickler.dispatch)

    def save_byte_string(self, obj):
        data = obj.encode('utf-8', 'surrogatepass')
        if not self.bin:
            self.write(b'S' + repr(data)[1:].encode('ascii') + b'\n')
        elif len(data) < 256:
            self.write(b'U' + bytes([len(data)]) + data)
        else:
            self.write(b'T' + struct.pack('<i', len(data)) + data)
        self.memoize(obj)

    dispatch[str] = save_byte_string


def dumps(thing, protocol, python2=False):
    out = io.BytesIO()
    pickler = Python2Pickler if python2 else pickle.Pickler
    pickler(out, protocol).dump(thing)
    return out.getvalue()


def every_way(thing):
    for protocol in range(6):
        yield dumps(thing, protocol)
    for protocol in range(3):
        yield dumps(thing, protocol, python2=True)


class Things:
    """Random objects, the same ones for the same seed."""

    NAMES = ['a', 'carbon.agents.host-a.cache.size', 'm;k=v', 'caf\xe9', '\u4e2d.\U0001f600', '',
             'back\\slash', "qu'ote", 'dou"ble', "bo'\"th", 'new\nline', '\\u0041', 'nul\0', '\x1a',
             'surrogate\ud800', 'n' * 300, 'tab\t', '\x7f\x80\xff', ' space ']
    NUMBERS = ['1', '1.5', ' 2_0\n', '-1', 'inf', 'nan', 'abc', '', '\u0663', '0x1', '1e400', b'3',
               b'4.5', b'x', b'\xd9\xa3', bytearray(b'7'), True, False, None, [], (1,), {}, 0, -1, -2,
               -1.5, float('nan'), float('inf'), -float('inf'), 2 ** 31, 2 ** 32 - 1, 2 ** 32,
               2 ** 63, -2 ** 63, 2 ** 64, 2 ** 100 + 2 ** 47, 2 ** 100 + 2 ** 47 + 1,
               2 ** 1024 - 2 ** 970, 2 ** 1024 - 2 ** 970 - 1, -2 ** 1024, 2 ** 5000, 5e-324]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self):
        pick = self.random.random()
        if pick < 0.3:
            return self.random.randrange(2 ** 31)
        if pick < 0.6:
            return self.random.uniform(-1e3, 2e9)
        if pick < 0.7:
            size = self.random.randrange(1, 1100)
            return self.random.randrange(-2 ** size, 2 ** size)
        return self.random.choice(self.NUMBERS)

    def item(self):
        both = self.random.choice([tuple, list])
        point = both([self.number(), self.number()])
        thing = both([self.random.choice(self.NAMES), point])
        pick = self.random.random()
        if pick < 0.05:
            return self.random.choice([(), ('a',), 'ab', 5, None, ('a', 1), ('a', (1, 2), (3, 4)),
                                       (b'a', (1, 2)), (None, (1, 2)), {'a': (1, 2)}, ['a', (1,)]])
        return thing

    def batch(self):
        items = [self.item() for _ in range(self.random.randrange(0, 30))]
        items += [self.random.choice(items) for _ in range(len(items) // 4)]
        pick = self.random.random()
        if pick < 0.1:
            return {('x', (1, 2)): None, ('y', (3.5, '4')): 'z', 5: 6}
        if pick < 0.15:
            return {('x', (1, 2))}
        if pick < 0.2:
            return frozenset([('x', (1, 2))])
        return tuple(items) if pick < 0.4 else items

    def relayed(self):
        """As relays send it: no object stands twice, and pairs are tuples."""
        numbers = [0, 1, 7, 300, 70_000, -1, -2, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 70, 2 ** 1024,
                   float('nan'), float('inf'), -0.5]

        def number():
            if self.random.random() < 0.1:
                return self.random.choice(numbers)
            return self.random.choice([self.random.uniform(0, 4e9), self.random.randrange(2 ** 31)])

        size = self.random.choice([0, 1, 2, 3, 20, 1001])
        names = [self.random.choice(['host.', '', 'caf\xe9.']) + str(n) for n in range(size)]
        if self.random.random() < 0.3:
            names = [self.random.choice(self.NAMES) + name for name in names]
        return [(name, (number(), number())) for name in names]


class RunsCode(Exception):
    """A pickle names a class or a function."""


class PlainUnpickler(pickle.Unpickler):
    """Plain data only. A byte string that is no UTF-8 becomes a text that cannot be encoded, so
    that it fails by item and not as a whole."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data), encoding='utf-8', errors='surrogatepass')

    def find_class(self, module, name):
        raise RunsCode


def frame(data):
    """A frame and what is to be read in it; None where it would have to run code."""
    try:
        batch = PlainUnpickler(data).load()
    except RunsCode:
        return [data.hex(), None]
    return [data.hex(), [item(raw) for raw in batch]]


def request_frames():
    for metric in ['a.b', 'n' * 300, 'caf\xe9']:
        for request in [
            {'type': 'cache-query', 'metric': metric},
            {'metric': metric, 'type': 'cache-query'},
            {'type': 'cache-query-bulk', 'metrics': [metric, 'x', metric]},
            {'type': 'get-metadata', 'metric': metric, 'key': 'aggregationMethod'},
            {'type': 'foo', 'metric': metric},
        ]:
            for data in every_way(request):
                yield [data.hex(), request]


def reply_frames():
    points = [(1422797285.5, 42.17), (0, 1), (2 ** 31, -0.0), (4294967295.0, 5e-324), (7.0, 2.5)]
    for count in [0, 1, 2, 5, 2500]:
        some = (points * 500)[:count]
        yield [pickle.dumps({'datapoints': some}, protocol=2).hex(),
               [[bits(seconds), bits(value)] for seconds, value in some]]


def reply(data):
    """What our reply says, in terms that JSON keeps apart."""
    def points(some):
        assert all(type(p) is tuple and type(p[0]) is int and type(p[1]) is float for p in some)
        return [[seconds, bits(value)] for seconds, value in some]
    thing = pickle.loads(data)
    if 'datapoints' in thing:
        thing['datapoints'] = points(thing['datapoints'])
    if 'datapointsByMetric' in thing:
        by_metric = thing['datapointsByMetric']
        thing['datapointsByMetric'] = {name: points(some) for name, some in by_metric.items()}
    return thing


def main():
    asked = json.loads(sys.stdin.buffer.read())
    things = Things(asked['seed'])
    code_points = [chr(code) for code in range(0x110000)]
    json.dump({
        'unicode': unicodedata.unidata_version,
        'digits': [[ord(c), unicodedata.decimal(c)] for c in code_points if c.isdecimal()],
        'spaces': [ord(c) for c in code_points if c.isspace()],
        'numbers': [number(text) for text in asked['numbers']],
        'lines': [line(bytes.fromhex(raw)) for raw in asked['lines']],
        'datagrams': [[text for text in raw.splitlines() if text] for raw in asked['datagrams']],
        'frames': [frame(data) for _ in range(100) for data in every_way(things.batch())]
        + [frame(data) for _ in range(20) for data in every_way(things.relayed())],
        'requests': list(request_frames()),
        'replies': list(reply_frames()),
        'our_replies': [reply(bytes.fromhex(data)) for data in asked['replies']],
        'our_requests': [pickle.loads(bytes.fromhex(data)) for data in asked['requests']],
    }, sys.stdout)


main()
