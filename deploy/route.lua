-- Orthanc sends every series that thinslice made to the PACS, once nothing more arrives for it (StableAge).
-- "pacs" is the name of the PACS in DicomModalities. A job that fails is tried again.

function OnStableSeries(seriesId, tags, metadata)
   if tags['Manufacturer'] == 'thinslice' then
      RestApiPost('/modalities/pacs/store', '{"Resources": ["' .. seriesId .. '"], "Asynchronous": true}')
   end
end

function OnJobFailure(jobId)
   RestApiPost('/jobs/' .. jobId .. '/resubmit', '')
end
