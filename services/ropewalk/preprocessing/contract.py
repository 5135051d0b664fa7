"""What preprocessing hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.contract import Contract, Stage
from ropewalk.events.data import CorpusIngested, DatasetPublished, SegmentCleaned, TokenizerTrained

PREPROCESS = Stage("preprocess", CorpusIngested)

CONTRACT = Contract(
    service="preprocessing",
    listens=(PREPROCESS,),
    emits=(TokenizerTrained, SegmentCleaned, DatasetPublished),
)
