"""What preprocessing hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import data
from ropewalk.events.contract import Contract, Stage

PREPROCESS = Stage("preprocess", data.CorpusIngested)

CONTRACT = Contract(
    service="preprocessing",
    listens=(PREPROCESS,),
    emits=(data.BaseModelAsked, data.TokenizerTrained, data.SegmentCleaned, data.DatasetPublished),
)
