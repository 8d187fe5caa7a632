"""From a request to a plan, by headers alone.

Whatever can be complained of without reading elements is complained of here: `names` settles the paths of a whole call
before any work, `files` settles one file to the last byte. Plans are frozen and complete; the engine asks no questions.
"""
